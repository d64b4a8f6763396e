"""An attempt to run a trial, in a worker.

A worker's process runs one trial after another, so whatever a trial may change in its process is
restored before the next.
"""

from __future__ import annotations

import functools
import itertools
import json
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import torch

from orchestration.execution.failure import in_a_line, one_line
from orchestration.execution.ray_nodes import nodes_dead_without_notice
from orchestration.execution.worker.kept_model import ModelKeeper, why_missing
from orchestration.execution.worker.own_training import OwnTraining, Training
from orchestration.execution.worker.process_state import ProcessState
from orchestration.execution.worker.task import TrialTask
from orchestration.execution.worker.within_epoch import PreemptedError, WithinEpoch
from orchestration.model.config import OwnConfig
from orchestration.model.trial import Trial
from orchestration.record.client import connect
from orchestration.record.machine import ENGINE_TAG, machine_tags
from orchestration.record.names import BEST_EPOCH, SAMPLE_TAG, layers_tag
from orchestration.record.spool import Spool
from orchestration.record.trial_recorder import TrackerAwayError, TrialRecorder
from orchestration.store.base import SupersededError
from orchestration.store.checkpoints import CheckpointStore
from services.settings import use_login
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.training.allocator import is_out_of_memory
from snn_norm.training.run import TrainingRun


class StorageError(Exception):
    """The checkpoint store failed, so the trial is tried again instead of failing."""


class NodesLostError(Exception):
    """The trial seems to end the node that it runs on."""


# Errors of the infrastructure and not of the user's code: Tune tries the trial again.
_INFRASTRUCTURE = (StorageError, SupersededError, TrackerAwayError)


_MOST_NODES_LOST = 3
"""How many nodes in a row may die under a trial without progress in between."""

_OVERDUE = 60.0
"""How many seconds a record may wait for others on its way to MLflow before it is reported."""

_SECONDS_A_STEP = 5.0
"""How long a step waits until a trial's end has arrived. Then it reports that it waits, and the
next step continues to wait."""


def _pause(session: _Session | None) -> float:
    """Seconds to wait before a trial is tried again: 5, 20, then 60.

    The count starts again with every recorded epoch.
    """
    attempts = session.recorder.spool.attempts_in_vain if session else 0
    return min(5.0 * 4.0 ** max(0, attempts - 1), 60.0)


class Attempt:
    """An attempt to run a trial.

    While the end of a trial cannot be recorded, because the tracking server or its artifact store
    fails, every report has the reason in ``waits_for``.

    Errors of the user's own code end the trial as failed. Errors of the infrastructure are raised,
    so that Tune starts the trial again from its checkpoint.
    """

    def __init__(self, task: TrialTask) -> None:
        _state_at_first()  # before any code of the user has run
        self._task = task
        self._session: _Session | None = None

    def step(self) -> dict[str, Any]:
        """Run an epoch, or close the run of a trial that has none left."""
        try:
            if self._session is None:
                self._session = _Session(self._task)
            report = self._session.step()
            since = self._session.recorder.waiting_since
            if since is None or not ("waits_for" in report or time.time() - since >= _OVERDUE):
                return report
            return {**report, "overdue_since": since}
        except PreemptedError:
            raise
        # The user's code may call sys.exit or raise KeyboardInterrupt. Workers receive no SIGINT.
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            is_infrastructure = isinstance(error, _INFRASTRUCTURE) or is_out_of_memory(error)
            if self._session is None or is_infrastructure:
                time.sleep(_pause(self._session))
                raise
            self._session.recorder.fail("".join(traceback.format_exception(error)))
            return {"done": True, "failure": in_a_line(error)}

    def close(self) -> None:
        """Stop recording; records that have not arrived are sent when the trial continues."""
        if self._session is not None:
            self._session.recorder.close()
            self._session = None


class _Session:
    """A running trial: the training run, its recorder and its checkpoints."""

    def __init__(self, task: TrialTask) -> None:
        _state_at_first().restore()
        if task.login:
            use_login(task.login)
        if task.import_path not in sys.path:
            sys.path.insert(0, task.import_path)
        torch.set_num_threads(task.threads)
        self._task = task
        self._checkpoints = CheckpointStore(task.storage)
        self._models = ModelKeeper(task.keep, task.storage)
        self._run: Training | None = None
        self._waiting: tuple[int, float] | None = None
        with _storage():
            node = ray.get_runtime_context().get_node_id()
            spool = Spool(task.storage, task.driver, node)
            self.recorder = TrialRecorder(
                connect(task.tracking_uri),
                task.trial,
                task.experiment_id,
                task.parent_run_id,
                spool,
                task.patience,
                task.run_id,
                _machine_tags(task.device),
            )

    def step(self) -> dict[str, Any]:
        report: dict[str, Any] = {}
        # A trial that is started again after its last epoch only has to close its run.
        if self.recorder.spool.ending is None and not self._must_pause:
            report = self._run_epoch()
        ending = self.recorder.spool.ending
        if ending is None:
            return {**report, **self._pause()} if self._must_pause else report
        with _storage():
            deliver_model = self._models.delivery(ending.get("tags", {}))
        started = time.monotonic()
        try:
            patience = min(_SECONDS_A_STEP, self._task.patience)
            self.recorder.finish(deliver_model, patience=patience)
        except TrackerAwayError as error:
            self._check_patience(started, error)
            return {**report, "outcome": None, "waits_for": one_line(str(error))}
        self._checkpoints.remove()
        self._models.remove()
        trial = self._task.trial
        end = {"outcome": ending["outcome"], "no_model": why_missing(ending)}
        if trial.chosen_by is None:
            end["best"] = ending["metrics"].get(trial.metric.best_name)
        return {**report, **end, "run_id": self.recorder.spool.run_id, "done": True}

    @property
    def _must_pause(self) -> bool:
        """Whether the search decides now whether the trial goes on."""
        after = self._task.pause_after
        return after is not None and max(self.recorder.spool.epochs, default=0) >= after

    def _pause(self) -> dict[str, Any]:
        """Close the run; its checkpoint stays, so that it can go on."""
        self.recorder.fail(f"paused by its search after epoch {self._task.pause_after}", "KILLED")
        return {
            "outcome": None,
            "is_paused": True,
            "run_id": self.recorder.spool.run_id,
            "done": True,
        }

    def _check_patience(self, started: float, error: TrackerAwayError) -> None:
        """Raise the error if nothing has arrived for longer than the trial's patience."""
        if self._waiting is None or self._waiting[0] != self.recorder.arrived:
            self._waiting = (self.recorder.arrived, started)
        if time.monotonic() - self._waiting[1] >= self._task.patience:
            raise error

    def _run_epoch(self) -> dict[str, Any]:
        if self._run is None:
            self._run = self._begin()
        run, metric, result = self._run, self._task.trial.metric, None
        saving: dict[str, float] = {}
        if run.outcome is None:
            within = WithinEpoch(self._task.checkpoint_seconds, self._save_within_epoch)
            within.leave_if_taken_away()
            if not run.history and 0 not in self.recorder.spool.epochs:
                self._record(0, run.diagnostics(), layers_tag(run.layers))
            result = run.run_epoch(within)
        if result is not None:
            state = run.state_dict()
            self._record(result.epoch, {**result.metrics(), **run.diagnostics()}, _tags(run))
            with _storage():
                # The model is stored first, as the checkpoint depends on it.
                self._models.take(run, is_saved=state is not None)
                if state is not None:
                    started = time.monotonic()
                    self._checkpoints.save(state)
                    saving["checkpoint_seconds"] = time.monotonic() - started
        best = run.best
        if run.outcome is not None:
            final = {}
            if best is not None:
                final = {metric.best_name: best.metrics()[metric.name], BEST_EPOCH: best.epoch}
            with _storage():
                self.recorder.end(run.outcome, final, self._models.settle(run))
        return {**_report(run, self._task.trial), **saving} if result else {}

    def _record(self, epoch: int, metrics: dict[str, float], tags: Mapping[str, str]) -> None:
        if metrics:
            with _storage():
                self.recorder.record_epoch(epoch, metrics, tags)

    def _save_within_epoch(self) -> None:
        run = self._run
        assert run is not None
        if (state := run.state_dict()) is not None:
            with _storage():
                self._checkpoints.save(state)
                self.recorder.note_checkpoint(len(run.history) + 1)

    def _begin(self) -> Training:
        """The training run, continued from its newest checkpoint if there is one."""
        _check_nodes(self.recorder.spool.nodes_in_vain[1:])
        task, config = self._task, self._task.trial.config
        run: Training
        if isinstance(config, OwnConfig):
            also = task.trial.shown_metric.name
            run = OwnTraining(config, task.trial.metric, task.device, also=also)
        else:
            dataset = _cached_dataset(config.dataset, task.data, config.image_size)
            run = TrainingRun(config, dataset, device=task.device)
        with _storage():
            state = self._checkpoints.load()
        if state is not None:
            run.load_state_dict(state)
        return run


def _check_nodes(earlier: Sequence[str]) -> None:
    """Check that the trial itself does not seem to end the nodes on which it is tried.

    Args:
        earlier: the nodes of the trial's attempts since its last progress, the newest first.

    Raises:
        NodesLostError: it seems to be the trial.
    """
    if len(earlier) < _MOST_NODES_LOST:
        return
    dead = nodes_dead_without_notice()
    in_a_row = list(itertools.takewhile(dead.__contains__, earlier))
    if len(in_a_row) >= _MOST_NODES_LOST:
        raise NodesLostError(
            f"the node of this trial has died {len(in_a_row)} times in a row without an epoch or a "
            "checkpoint in between, so the trial itself may end it, such as by taking all of its "
            "memory. Run the sweep again when the cause is removed."
        )


def _tags(run: Training) -> dict[str, str]:
    """The tags of a run's engine and input."""
    tags = {ENGINE_TAG: run.engine, SAMPLE_TAG: json.dumps(run.sample) if run.sample else None}
    return {tag: text for tag, text in tags.items() if text}


def _report(run: Training, trial: Trial) -> dict[str, Any]:
    """The report of the last epoch, for the driver."""
    last, best, metric = run.history[-1], run.best, trial.shown_metric
    if trial.chosen_by is not None:  # the metric that selects epochs may be another one
        index = metric.best([epoch.metrics()[metric.name] for epoch in run.history])
        best = None if index is None else run.history[index]
    return {
        "epoch": last.epoch,
        "epoch_seconds": last.epoch_seconds,
        "value": last.metrics()[metric.name],
        "best": best.metrics()[metric.name] if best else None,
        "outcome": run.outcome,
    }


@contextmanager
def _storage() -> Iterator[None]:
    """Turn an OSError of the store into a StorageError: the user's code may raise OSError too."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"checkpoint store: {error}") from error


_state_at_first = functools.cache(ProcessState)
_machine_tags = functools.cache(machine_tags)  # a worker's code does not change while it runs


@functools.lru_cache(maxsize=2)
def _cached_dataset(name: str, root: Path, image_size: int | None) -> Dataset:
    return load_dataset(name, root, image_size)
