"""Lets Tune forget the trials that have ended.

Tune keeps every trial until the sweep ends, looks at each of them several times a second, and
finally writes all of them to its scratch folder, although a sweep's record is in MLflow. This file
uses private fields of Tune's controller; its tests hold it against the installed Ray.
"""

from __future__ import annotations

from typing import Any

_MOST_KEPT = 100
_FIELDS = (
    "_stopped_trials", "_failed_trials", "_live_trials", "_trials_to_cache", "_trial_to_actor",
)  # fmt: skip


def forget_ended(tune_controller: Any) -> None:
    """Remove the trials that have ended, once they are many, except the last one.

    Tune takes an experiment without any trial for one that has to be loaded from its files.
    """
    if not all(hasattr(tune_controller, name) for name in _FIELDS):
        return  # another version of Ray, which keeps them
    stopped, failed = tune_controller._stopped_trials, tune_controller._failed_trials
    if len(stopped) + len(failed) < _MOST_KEPT:
        return
    trials = tune_controller.get_trials()
    # Some have a worker that has not ended yet.
    ended = (stopped | failed) - tune_controller._trial_to_actor.keys() - {trials[-1]}
    trials[:] = [trial for trial in trials if trial not in ended]
    for kept in (stopped, failed, tune_controller._live_trials, tune_controller._trials_to_cache):
        kept -= ended
