"""Ray Tune, as the driver uses it: tasks in as they are wanted, events out."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import ray
from ray import cloudpickle, tune
from ray.tune import Callback
from ray.tune.search import Searcher

from orchestration.execution.failure import in_a_line
from orchestration.execution.worker.trial import SweepTrial, TrialTask
from orchestration.progress.events import (
    REPORTED,
    EpochDone,
    EventHandler,
    Failed,
    Note,
    Retried,
    Started,
)

_SETTINGS = {
    # MLflow has the record and the checkpoint store the work in progress: Tune keeps neither.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old output is the one that verbose=0 silences
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the watch says in a line what Tune says in thirty
    "TUNE_MAX_PENDING_TRIALS_PG": "200",  # what waits makes a cluster grow
}


class TrialQueue(Protocol):
    """The tasks of a sweep, asked for as workers come free. All of it is quick: Tune waits."""

    @property
    def is_over(self) -> bool:
        """Whether trials at work are to stop at the end of their epoch, and none is to start."""

    def next(self, *, idle: bool) -> TrialTask | None:
        """The task to start next, None if there is none for now.

        Args:
            idle: whether a worker would have nothing to do.
        """

    def take(self, task: TrialTask, report: Mapping[str, Any]) -> None:
        """Be told of an epoch, or of a trial's end."""

    def fail(self, task: TrialTask) -> None:
        """Be told that a task has failed for good."""


def run_tasks(trials: TrialQueue, retries: int, watch: EventHandler) -> bool:
    """Run tasks until there are no more, or until the user interrupts.

    Args:
        trials: the tasks of the sweep.
        retries: attempts after a fault of the infrastructure.
        watch: told of everything that happens.

    Returns:
        Whether none is left.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # It reports missing the files it was told not to write; what fails is raised, or told below.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    searcher = _Searcher(trials)
    # Nothing that Tune writes is needed by anybody else, nor after this.
    with tempfile.TemporaryDirectory(prefix="snn-sweep-", ignore_cleanup_errors=True) as scratch:
        _tuner(searcher, retries, _Events(watch, searcher), scratch).fit()
    return searcher.is_exhausted


def _tuner(searcher: _Searcher, retries: int, events: Callback, scratch: str) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(SweepTrial, _reserved),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=scratch,
            callbacks=[events],
            stop=searcher.take,
            failure_config=tune.FailureConfig(max_failures=retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _reserved(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    task: TrialTask = config["task"]
    return tune.PlacementGroupFactory([{"CPU": task.cpu, "GPU": task.gpu}])


class _Searcher(Searcher):
    """The queue of trials, as Tune asks for them."""

    def __init__(self, trials: TrialQueue) -> None:
        super().__init__()
        self.tasks: dict[str, TrialTask] = {}
        """Those that have not ended, by Tune's name for them."""
        self.waiting: set[str] = set()
        """Those without a worker."""
        self.is_exhausted = False
        self._most_at_work = 0
        self._trials = trials

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: see the callbacks'."""
        return {}

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        task = self._trials.next(idle=not self.waiting and self._has_room())
        if task is not None:
            self.tasks[trial_id] = task
            self.waiting.add(trial_id)
            return {"task": task}
        self.is_exhausted = not self.tasks
        return Searcher.FINISHED if self.is_exhausted else None

    def start(self, trial_id: str) -> None:
        self.waiting.discard(trial_id)
        self._most_at_work = max(self._most_at_work, len(self.tasks) - len(self.waiting))

    def _has_room(self) -> bool:
        """Whether one more like those at work would find a place."""
        if not self.tasks:
            return True
        # Tune keeps a worker for the next trial, and so its resources: to Ray they are not free.
        if len(self.tasks) - len(self.waiting) < self._most_at_work:
            return True
        free, one = ray.available_resources(), next(iter(self.tasks.values()))
        return bool(free.get("CPU", 0) >= one.cpu and free.get("GPU", 0) >= one.gpu)

    def take(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Pass on a trial's result; give whether the trial is to stop there."""
        if "failure" not in result:
            self._trials.take(self.tasks[trial_id], result)
        return self._trials.is_over

    def fail(self, trial_id: str) -> None:
        self._trials.fail(self.tasks[trial_id])

    def end(self, trial_id: str) -> None:
        del self.tasks[trial_id]
        self.waiting.discard(trial_id)

    def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None:
        pass  # it comes before the callbacks, which still need the task

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep is planned anew from its record, never restored by Tune")


class _Events(Callback):
    """Tells the watch, in its terms, what Tune reports (Tune gives keyword arguments alone)."""

    def __init__(self, watch: EventHandler, searcher: _Searcher) -> None:
        self._watch = watch
        self._searcher = searcher
        self._waiting: set[str] = set()  # the trials whose end does not arrive, by Tune's name

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, and we plan anew instead."""
        return {}

    def on_trial_start(self, trial: Any, **_: Any) -> None:
        self._searcher.start(trial.trial_id)
        self._watch(Started(_label(trial)))

    def on_trial_result(self, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        if "failure" in result:
            self._fail(trial, result["failure"])
        elif "epoch" in result or result["outcome"] is not None:
            # Not all of it: Tune's own part holds the task, which a driver would load torch for.
            report = {key: result[key] for key in REPORTED if key in result}
            self._watch(EpochDone(_label(trial), report))
        if "waits_for" in result and trial.trial_id not in self._waiting:
            self._waiting.add(trial.trial_id)
            text = f"{_label(trial)} is trained and waits to be recorded: {result['waits_for']}"
            self._watch(Note(text))

    def on_trial_recover(self, trial: Any, **_: Any) -> None:
        self._waiting.discard(trial.trial_id)
        self._watch(Retried(_label(trial), _error(trial)))

    def on_trial_complete(self, trial: Any, **_: Any) -> None:
        self._waiting.discard(trial.trial_id)
        self._searcher.end(trial.trial_id)

    def on_trial_error(self, trial: Any, **_: Any) -> None:
        self._fail(trial, _error(trial))
        self._searcher.end(trial.trial_id)

    def _fail(self, trial: Any, reason: str) -> None:
        self._searcher.fail(trial.trial_id)
        self._watch(Failed(_label(trial), reason))


def _label(trial: Any) -> str:
    return str(trial.config["task"].trial.label)


def _error(trial: Any) -> str:
    # Tune's own reader looks where the file will be uploaded to later.
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return "unknown error"
    error = cloudpickle.loads(Path(path).read_bytes())
    cause = getattr(error, "cause", None) or error
    return in_a_line(cause)
