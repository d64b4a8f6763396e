"""Runs tasks with Ray Tune: takes them from a queue and passes on events."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle, tune
from ray.tune import Callback
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.search import Searcher

from orchestration.execution.failure import in_a_line
from orchestration.execution.retries import Retries
from orchestration.execution.slot_limit import SlotLimit
from orchestration.execution.trials.fair_share import FairShare
from orchestration.execution.trials.trial_queue import SweepTrialQueue
from orchestration.execution.worker.task import TrialTask
from orchestration.execution.worker.trial import SweepTrial
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
    # Records are in MLflow and work in progress in the checkpoint store, so Tune keeps neither.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "inf",
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # events report them in one line
    "TUNE_MAX_PENDING_TRIALS_PG": "200",  # a cluster scales up by its pending trials
}


def run_tasks(trials: SweepTrialQueue, retries: int, watch: EventHandler, share: FairShare) -> bool:
    """Run tasks until there are no more, or until the user interrupts.

    Returns:
        Whether no task is left.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # verbose=0 silences only the old output, and with the new one Tune would drop our callback.
    os.environ["RAY_AIR_NEW_OUTPUT"] = "0"
    # Tune warns about files that it was told not to write. Failures are raised or become events.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    searcher = _Searcher(trials, share)
    # Tune's files are not needed afterwards.
    with tempfile.TemporaryDirectory(prefix="snn-sweep-", ignore_cleanup_errors=True) as scratch:
        _tuner(searcher, _Events(watch, searcher, Retries(retries)), scratch).fit()
    return searcher.is_exhausted


def _tuner(searcher: _Searcher, events: Callback, scratch: str) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(SweepTrial, _reserved),
        tune_config=tune.TuneConfig(
            search_alg=searcher,
            scheduler=SlotLimit(searcher.slots),
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
            # Tune would count lost nodes as failures, so a retry is a new trial to it.
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _reserved(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    task: TrialTask = config["task"]
    return tune.PlacementGroupFactory([{"CPU": task.cpu, "GPU": task.gpu}])


class _Searcher(Searcher):
    """Adapts the queue of trials to Tune's interface."""

    def __init__(self, trials: SweepTrialQueue, share: FairShare) -> None:
        super().__init__()
        self.tasks: dict[str, TrialTask] = {}
        """The tasks that have not ended, by Tune's trial id."""
        self.waiting: set[str] = set()
        """The ids of those without a worker."""
        self.is_exhausted = False
        self._most_running = 0
        self._trials = trials
        self._share = share
        self._slots: int | None = None
        self._again: deque[TrialTask] = deque()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing, for the reason that `_Events` has."""
        return {}

    def slots(self, held: int) -> int | None:
        """How many tasks may run at once; None if there is no limit.

        Args:
            held: the number of slots that the sweep holds now.
        """
        if self.tasks:
            task = next(iter(self.tasks.values()))
            wanted = len(self.tasks) + len(self._again) + self._trials.left
            more = self._trials.may_grow
            self._slots = self._share.slots(task.cpu, task.gpu, held, wanted, more=more)
        return self._slots

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        if self._slots is not None and self.waiting and len(self.tasks) >= self._slots:
            return None  # Tune would ask for all tasks, as the waiting ones are paused
        if self._again and not self._trials.is_over:
            task: TrialTask | None = self._again.popleft()
        else:
            task = self._trials.next(idle=not self.waiting and self._has_room())
        if task is not None:
            self.tasks[trial_id] = task
            self.waiting.add(trial_id)
            return {"task": task}
        self.is_exhausted = not self.tasks
        return Searcher.FINISHED if self.is_exhausted else None

    def start(self, trial_id: str) -> None:
        self.waiting.discard(trial_id)
        self._most_running = max(self._most_running, len(self.tasks) - len(self.waiting))

    def _has_room(self) -> bool:
        """Whether there are free resources for another task like those that are running."""
        if not self.tasks:
            return True
        if self._slots is not None:
            return len(self.tasks) < self._slots
        # Tune keeps a worker for the next trial, so Ray does not count its resources as free.
        if len(self.tasks) - len(self.waiting) < self._most_running:
            return True
        free, task = ray.available_resources(), next(iter(self.tasks.values()))
        return bool(free.get("CPU", 0) >= task.cpu and free.get("GPU", 0) >= task.gpu)

    def take(self, trial_id: str, result: Mapping[str, Any]) -> bool:
        """Pass on a trial's report; returns whether the trial must stop."""
        if "failure" not in result:
            self._trials.take(self.tasks[trial_id], result)
        return self._trials.is_over

    def fail(self, trial_id: str) -> None:
        self._trials.fail(self.tasks[trial_id])

    def end(self, trial_id: str) -> TrialTask:
        self.waiting.discard(trial_id)
        return self.tasks.pop(trial_id)

    def try_again(self, trial_id: str) -> None:
        """Run the task of a trial that has ended with an error as another trial, the next one."""
        self._again.append(self.end(trial_id))

    def on_trial_complete(self, trial_id: str, *_: Any, **__: Any) -> None:
        pass  # called before the callbacks, which still need the task

    def save(self, checkpoint_path: str) -> None:
        pass

    def restore(self, checkpoint_path: str) -> None:
        raise NotImplementedError("a sweep is planned from its record, never restored by Tune")


class _Events(TrialProgressCallback):
    """Turns Tune's callbacks into events (Tune passes only keyword arguments).

    Tune adds a callback of this class, which would hold every trial, unless it is given one.
    """

    def __init__(self, watch: EventHandler, searcher: _Searcher, retries: Retries) -> None:
        self._watch = watch
        self._searcher = searcher
        self._retries = retries
        self._waiting: set[str] = set()  # ids of trials whose end has not arrived in MLflow

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles callbacks to restore them, but a sweep is planned again instead."""
        return {}

    def on_trial_start(self, trial: Any, **_: Any) -> None:
        self._searcher.start(trial.trial_id)
        self._watch(Started(_label(trial)))

    def on_trial_result(self, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        if "failure" in result:
            self._fail(trial, result["failure"])
        elif "epoch" in result or result["outcome"] is not None or "is_paused" in result:
            # Tune's own part is left out, as it holds the task, which needs torch to be unpickled.
            report = {key: result[key] for key in REPORTED if key in result}
            self._watch(EpochDone(_label(trial), report))
        if "waits_for" in result and trial.trial_id not in self._waiting:
            self._waiting.add(trial.trial_id)
            text = f"{_label(trial)} is trained and waits to be recorded: {result['waits_for']}"
            self._watch(Note(text))

    def on_trial_complete(self, trial: Any, **_: Any) -> None:
        self._waiting.discard(trial.trial_id)
        self._searcher.end(trial.trial_id)

    def on_trial_error(self, trial: Any, **_: Any) -> None:
        self._waiting.discard(trial.trial_id)
        error = _error(trial)
        if self._retries.allow(trial.config["task"].trial.key, error):
            self._searcher.try_again(trial.trial_id)
            self._watch(Retried(_label(trial), in_a_line(error)))
        else:
            self._fail(trial, in_a_line(error))
            self._searcher.end(trial.trial_id)

    def _fail(self, trial: Any, reason: str) -> None:
        self._searcher.fail(trial.trial_id)
        self._watch(Failed(_label(trial), reason))


def _label(trial: Any) -> str:
    return str(trial.config["task"].trial.label)


def _error(trial: Any) -> BaseException:
    # Tune's own reader looks in the folder to which the file is uploaded later.
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return RuntimeError("unknown error")
    error: BaseException = cloudpickle.loads(Path(path).read_bytes())
    return getattr(error, "cause", None) or error
