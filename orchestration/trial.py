"""The Ray Tune trainable: one trial, an epoch a step, continued from wherever it was left.

A worker process runs one trial after another, so whatever a trial may change in its process is set
anew before the next.
"""

from __future__ import annotations

import functools
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from ray import tune

from orchestration.checkpoints import CheckpointStore
from orchestration.client import connect
from orchestration.contract import BEST_EPOCH, BEST_TEST_ACCURACY
from orchestration.machine import machine_tags
from orchestration.recorder import Recorder, TrackerAwayError, TrialRecord
from orchestration.spool import Spool, SupersededError, spool_path
from snn_norm.config import RunConfig
from snn_norm.data import Dataset, load_dataset
from snn_norm.training import TrainingRun

__all__ = ["StorageError", "SweepTrial", "TrialTask"]


class StorageError(Exception):
    """The checkpoint store would not take or give a trial's files: tried again, not failed."""


# What the machine, and not the user's code, is to blame for: Tune tries these again.
_INFRASTRUCTURE = (
    StorageError,
    SupersededError,
    TrackerAwayError,
    MemoryError,
    torch.OutOfMemoryError,
)


@dataclass(frozen=True)
class TrialTask:
    """What a worker has to know to run a trial."""

    record: TrialRecord
    folder: Path
    """The trial's own folder in the checkpoint store."""
    data: Path
    tracking_uri: str
    threads: int
    device: str
    import_path: str
    """The folder that the user's own modules lie in."""
    patience: float
    """Seconds that the end of the trial waits for a tracking server that is away."""


class SweepTrial(tune.Trainable):
    """Runs the trial in ``config["task"]``, an epoch a step.

    What the user's own code raises ends the trial as failed; what the machine is to blame for is
    raised, so that Tune starts the trial again, from its checkpoint.
    """

    def setup(self, config: dict[str, Any]) -> None:
        """Take a task; its work begins with the first step, where its errors can be told apart."""
        self._task: TrialTask = config["task"]
        self._session: _Session | None = None

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next task in the same process."""
        self.cleanup()
        self.setup(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Run an epoch, or close the books of a trial that has none left."""
        if self._session is None:
            self._session = _Session(self._task)
        try:
            return self._session.step()
        except _INFRASTRUCTURE:
            raise
        except Exception as error:  # noqa: BLE001 - the user's code may raise anything
            self._session.recorder.fail("".join(traceback.format_exception(error)))
            summary = " ".join(traceback.format_exception_only(error)[-1].split())
            return {"done": True, "failure": summary}

    def cleanup(self) -> None:
        """Stop recording; what has not arrived is sent when the trial goes on."""
        if self._session is not None:
            self._session.recorder.close()
            self._session = None


class _Session:
    """A trial at work: the training run, its recorder and its checkpoints."""

    def __init__(self, task: TrialTask) -> None:
        self._task = task
        self._checkpoints = CheckpointStore(task.folder)
        self._run: TrainingRun | None = None
        with _storage():
            spool = Spool(spool_path(task.folder))
            self.recorder = Recorder(
                connect(task.tracking_uri),
                task.record,
                spool,
                task.patience,
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
        self.recorder.finish()
        self._checkpoints.remove()
        return {**report, "outcome": ending["outcome"], "done": True}

    def _run_epoch(self) -> dict[str, Any]:
        if self._run is None:
            self._run = self._begin()
        run = self._run
        if run.outcome is None:
            result = run.run_epoch()
            with _storage():
                self.recorder.record_epoch(result.epoch, result.metrics())
                self._checkpoints.save(run.state_dict())
        if run.outcome is not None:
            best = run.best
            final = {BEST_TEST_ACCURACY: best.test_accuracy, BEST_EPOCH: best.epoch} if best else {}
            with _storage():
                self.recorder.end(run.outcome, final)
        return _report(run)

    def _begin(self) -> TrainingRun:
        """The training run, as its newest checkpoint has it."""
        _reset_process(self._task)
        config = RunConfig(**self._task.record.config)
        dataset = _cached_dataset(config.dataset, self._task.data, config.image_size)
        run = TrainingRun(config, dataset, device=self._task.device)
        with _storage():
            state = self._checkpoints.load()
        if state is not None:
            run.load_state_dict(state)
        return run


def _report(run: TrainingRun) -> dict[str, Any]:
    """What the driver shows of a trial."""
    last = run.history[-1]
    return {
        "epoch": last.epoch,
        "epoch_seconds": last.epoch_seconds,
        "test_accuracy": last.test_accuracy,
        "best_test_accuracy": run.best.test_accuracy if run.best else None,
        "outcome": run.outcome,
    }


@contextmanager
def _storage() -> Iterator[None]:
    """Tell a full or lost disk from an OSError of the user's own code."""
    try:
        yield
    except OSError as error:
        raise StorageError(f"checkpoint store: {error}") from error


_first_folder = Path.cwd()
_machine_tags = functools.cache(machine_tags)  # the code that a worker has loaded stays the same


def _reset_process(task: TrialTask) -> None:
    """Undo whatever an earlier trial, or the user's code in it, set for its process."""
    os.chdir(_first_folder)
    if task.import_path not in sys.path:
        sys.path.insert(0, task.import_path)
    torch.set_default_dtype(torch.float32)
    torch.set_num_threads(task.threads)
    torch.set_grad_enabled(True)
    torch.use_deterministic_algorithms(False)
    if task.device != "cpu":
        torch.cuda.empty_cache()


@functools.lru_cache(maxsize=2)
def _cached_dataset(name: str, root: Path, image_size: int | None) -> Dataset:
    return load_dataset(name, root, image_size)
