"""Ray Tune, as the driver uses it: tasks in, events out."""

from __future__ import annotations

import logging
import os
import tempfile
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ray import cloudpickle, tune
from ray.tune import Callback

from orchestration.execution.worker import SweepTrial, TrialTask
from orchestration.progress.events import EpochDone, Failed, Retried, Started, Watch

__all__ = ["run_tasks"]

_SETTINGS = {
    # MLflow has the record and the checkpoint store the work in progress: Tune keeps neither.
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",
    "RAY_AIR_NEW_OUTPUT": "0",  # the old output is the one that verbose=0 silences
    "TUNE_PRINT_ALL_TRIAL_ERRORS": "0",  # the watch says in a line what Tune says in thirty
}


def run_tasks(
    tasks: Sequence[TrialTask], retries: int, watch: Watch
) -> tuple[dict[str, str], bool]:
    """Run every task to its end, or until the user interrupts.

    Args:
        tasks: in the order to start them.
        retries: attempts after a fault of the infrastructure.
        watch: told of everything that happens.

    Returns:
        Why each task that failed did, by its trial's key, and whether all came to their end.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    # It reports missing the files it was told not to write; what fails is raised, or told below.
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    events = _Events(watch)
    # Nothing that Tune writes is needed by anybody else, nor after this.
    with tempfile.TemporaryDirectory(prefix="snn-sweep-", ignore_cleanup_errors=True) as scratch:
        _tuner(tasks, retries, events, scratch).fit()
    return events.failures, events.ended == len(tasks)


def _tuner(tasks: Sequence[TrialTask], retries: int, events: Callback, scratch: str) -> tune.Tuner:
    return tune.Tuner(
        tune.with_resources(SweepTrial, _reserved),
        param_space={"task": tune.grid_search(list(tasks))},
        tune_config=tune.TuneConfig(
            reuse_actors=True,
            trial_name_creator=lambda trial: trial.trial_id,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(
            name=uuid.uuid4().hex,
            storage_path=scratch,
            callbacks=[events],
            failure_config=tune.FailureConfig(max_failures=retries),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
            verbose=0,
        ),
    )


def _reserved(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
    task: TrialTask = config["task"]
    return tune.PlacementGroupFactory([{"CPU": task.cpu, "GPU": task.gpu}])


class _Events(Callback):
    """Tells the watch, in its terms, what Tune reports (Tune gives keyword arguments alone)."""

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self.failures: dict[str, str] = {}
        self.ended = 0

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks for a restore, and we plan anew instead."""
        return {}

    def on_trial_start(self, trial: Any, **_: Any) -> None:
        self._watch(Started(_label(trial)))

    def on_trial_result(self, trial: Any, result: Mapping[str, Any], **_: Any) -> None:
        if "failure" in result:
            self._fail(trial, result["failure"])
        else:
            self._watch(EpochDone(_label(trial), result))

    def on_trial_recover(self, trial: Any, **_: Any) -> None:
        self._watch(Retried(_label(trial), _error(trial)))

    def on_trial_complete(self, **_: Any) -> None:
        self.ended += 1

    def on_trial_error(self, trial: Any, **_: Any) -> None:
        self.ended += 1
        self._fail(trial, _error(trial))

    def _fail(self, trial: Any, reason: str) -> None:
        self.failures[trial.config["task"].record.trial_key] = reason
        self._watch(Failed(_label(trial), reason))


def _label(trial: Any) -> str:
    return str(trial.config["task"].record.label)


def _error(trial: Any) -> str:
    # Tune's own reader looks where the file will be uploaded to later.
    path = trial.pickled_error_file
    if path is None or not Path(path).exists():
        return "unknown error"
    error = cloudpickle.loads(Path(path).read_bytes())
    cause = getattr(error, "cause", None) or error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}"
