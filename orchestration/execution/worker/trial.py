"""The Ray Tune trainable: one trial, an epoch a step, continued from wherever it was left.

A worker process runs one trial after another, so whatever a trial may change in its process is set
anew before the next.
"""

from __future__ import annotations

import functools
import json
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from orchestration.execution.failure import in_a_line, one_line
from orchestration.execution.worker.kept_model import ModelKeeper, why_missing
from orchestration.execution.worker.own_training import OwnTraining
from orchestration.execution.worker.process_state import ProcessState
from orchestration.execution.worker.training import Epoch, Training
from orchestration.model.config import OwnConfig
from orchestration.model.metric import Metric
from orchestration.model.trial import Trial
from orchestration.record.client import connect
from orchestration.record.machine import ENGINE_TAG, machine_tags
from orchestration.record.names import BEST_EPOCH, SAMPLE_TAG, layers_tag
from orchestration.record.spool import Spool
from orchestration.record.trial_recorder import TrackerAwayError, TrialRecorder
from orchestration.store.base import Storage, SupersededError
from orchestration.store.checkpoints import CheckpointStore
from orchestration.sweep.spec import Keep
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.training.allocator import is_out_of_memory
from snn_norm.training.run import TrainingRun


class StorageError(Exception):
    """The checkpoint store would not take or give a trial's files: tried again, not failed."""


# What the machine, and not the user's code, is to blame for: Tune tries these again.
_INFRASTRUCTURE = (StorageError, SupersededError, TrackerAwayError)


_SECONDS_A_STEP = 5.0
"""So long a step waits for the end of a trial to arrive, before the driver is told and the next
step goes on waiting."""


def _is_infrastructure(error: BaseException) -> bool:
    return isinstance(error, _INFRASTRUCTURE) or is_out_of_memory(error)


def _pause(session: _Session | None) -> float:
    """Seconds to wait before a trial fails, and so is tried again: 5, 20, then 60.

    The count begins anew with every epoch that is put on record.
    """
    attempts = session.recorder.spool.attempts_in_vain if session else 0
    return min(5.0 * 4.0 ** max(0, attempts - 1), 60.0)


@dataclass(frozen=True)
class TrialTask:
    """What a worker has to know to run a trial."""

    trial: Trial
    experiment_id: str
    parent_run_id: str
    run_id: str | None
    """The run to continue; None to create one."""
    storage: Storage
    """The trial's own folder in the checkpoint store."""
    data: Path
    tracking_uri: str
    cpu: float
    gpu: float
    """Reserved for it; a fraction of a GPU is shared."""
    import_path: str
    """The folder that the user's own modules lie in."""
    patience: float
    """Seconds that the end of the trial waits for a tracking server that is away."""
    driver: str
    """Stands for this run of the driver, whose failed attempts are counted together."""
    keep: Keep = "none"
    """The model of which epoch is kept."""

    @property
    def device(self) -> str:
        """Where it trains."""
        return "cuda" if self.gpu else "cpu"

    @property
    def threads(self) -> int:
        """Of torch, while it trains."""
        return max(1, int(self.cpu))


class SweepTrial(tune.Trainable):
    """Runs the trial in ``config["task"]``, an epoch a step.

    A trial whose end does not arrive, as the tracking server or its artifact store does not take
    it, says so with ``waits_for`` in its report, step after step.

    What the user's own code raises ends the trial as failed; what the machine is to blame for is
    raised, so that Tune starts the trial again, from its checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take a task; its work begins with the first step, where its errors can be told apart."""
        _state_at_first()  # before anything of the user's has run
        self._task: TrialTask = config["task"]
        self._session: _Session | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next task in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch, or close the books of a trial that has none left."""
        try:
            if self._session is None:
                self._session = _Session(self._task)
            return self._session.step()
        # A user's code may call sys.exit or raise KeyboardInterrupt; Ray keeps SIGINT from workers.
        except (Exception, SystemExit, KeyboardInterrupt) as error:
            if self._session is None or _is_infrastructure(error):
                time.sleep(_pause(self._session))
                raise
            self._session.recorder.fail("".join(traceback.format_exception(error)))
            return {"done": True, "failure": in_a_line(error)}

    def cleanup(self) -> None:
        """Stop recording; what has not arrived is sent when the trial goes on."""
        if self._session is not None:
            self._session.recorder.close()
            self._session = None


class _Session:
    """A trial at work: the training run, its recorder and its checkpoints."""

    def __init__(self, task: TrialTask) -> None:
        _state_at_first().restore()
        if task.import_path not in sys.path:
            sys.path.insert(0, task.import_path)
        torch.set_num_threads(task.threads)
        self._task = task
        self._checkpoints = CheckpointStore(task.storage)
        self._models = ModelKeeper(task.keep, task.storage)
        self._run: Training | None = None
        self._waiting: tuple[int, float] | None = None
        with _storage():
            spool = Spool(task.storage, task.driver)
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
        # A trial that is started again after its last epoch has only its books to close.
        if self.recorder.spool.ending is None:
            report = self._run_epoch()
        ending = self.recorder.spool.ending
        if ending is None:
            return report
        with _storage():
            deliver_model = self._models.delivery(ending.get("tags", {}))
        started = time.monotonic()
        try:
            patience = min(_SECONDS_A_STEP, self._task.patience)
            self.recorder.finish(deliver_model, patience=patience)
        except TrackerAwayError as error:
            self._go_on_waiting(started, error)
            return {**report, "outcome": None, "waits_for": one_line(str(error))}
        self._checkpoints.remove()
        self._models.remove()
        best = ending["metrics"].get(self._task.trial.metric.best_name)
        told = {"best": best, "outcome": ending["outcome"], "no_model": why_missing(ending)}
        return {**report, **told, "done": True}

    def _go_on_waiting(self, started: float, error: TrackerAwayError) -> None:
        """Raise the error if nothing has arrived for as long as the trial has patience."""
        if self._waiting is None or self._waiting[0] != self.recorder.arrived:
            self._waiting = (self.recorder.arrived, started)
        if time.monotonic() - self._waiting[1] >= self._task.patience:
            raise error

    def _run_epoch(self) -> dict[str, Any]:
        if self._run is None:
            self._run = self._begin()
        run, metric, result = self._run, self._task.trial.metric, None
        if run.outcome is None:
            if not run.history:
                self._record(0, run.diagnostics(), layers_tag(run.layers))
            result = run.run_epoch()
        if result is not None:
            state = run.state_dict()
            self._record(result.epoch, {**result.metrics(), **run.diagnostics()}, _tags(run))
            with _storage():
                # First: a checkpoint counts on it.
                self._models.take(run, is_saved=state is not None)
                if state is not None:
                    self._checkpoints.save(state)
        best = run.best
        if run.outcome is not None:
            final = {}
            if best is not None:
                final = {metric.best_name: best.metrics()[metric.name], BEST_EPOCH: best.epoch}
            with _storage():
                self.recorder.end(run.outcome, final, self._models.settle(run))
        return _report(result, best, metric, run.outcome) if result else {}

    def _record(self, epoch: int, metrics: dict[str, float], tags: Mapping[str, str]) -> None:
        if metrics:
            with _storage():
                self.recorder.record_epoch(epoch, metrics, tags)

    def _begin(self) -> Training:
        """The training run, as its newest checkpoint has it."""
        task, config = self._task, self._task.trial.config
        run: Training
        if isinstance(config, OwnConfig):
            run = OwnTraining(config, task.trial.metric, task.device)
        else:
            dataset = _cached_dataset(config.dataset, task.data, config.image_size)
            run = TrainingRun(config, dataset, device=task.device)
        with _storage():
            state = self._checkpoints.load()
        if state is not None:
            run.load_state_dict(state)
        return run


def _tags(run: Training) -> dict[str, str]:
    """What is said of a run besides its numbers."""
    tags = {ENGINE_TAG: run.engine, SAMPLE_TAG: json.dumps(run.sample) if run.sample else None}
    return {tag: text for tag, text in tags.items() if text}


def _report(
    last: Epoch,
    best: Epoch | None,
    metric: Metric,
    outcome: str | None,
) -> dict[str, Any]:
    """What the driver shows of a trial."""
    return {
        "epoch": last.epoch,
        "epoch_seconds": last.epoch_seconds,
        "value": last.metrics()[metric.name],
        "best": best.metrics()[metric.name] if best else None,
        "outcome": outcome,
    }


@contextmanager
def _storage() -> Iterator[None]:
    """Tell a full or lost disk from an OSError of the user's own code."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"checkpoint store: {error}") from error


_state_at_first = functools.cache(ProcessState)
_machine_tags = functools.cache(machine_tags)  # the code that a worker has loaded stays the same


@functools.lru_cache(maxsize=2)
def _cached_dataset(name: str, root: Path, image_size: int | None) -> Dataset:
    return load_dataset(name, root, image_size)
