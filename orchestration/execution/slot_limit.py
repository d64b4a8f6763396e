"""Lets Tune run at most so many trials of a sweep at once, while other sweeps wait for slots.

Tune has no such limit that can change. So a trial beyond the limit is paused before it has begun,
and a worker that is kept for the next trial is given back. This file uses private methods of
Tune's controller for both; its tests hold it against the installed Ray.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from orchestration.execution.ended_trials import forget_ended

_IDLE_SECONDS = 0.1


class SlotLimit(FIFOScheduler):
    """Starts trials in their order, and only as many as may run.

    Args:
        slots: called with the number of slots that the sweep holds, also those in which a worker
            starts or ends; returns how many trials may run at once, or None if there is no limit.
    """

    def __init__(self, slots: Callable[[int], int | None]) -> None:
        super().__init__()
        self._slots = slots

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """The next trial, which Tune starts now; it asks several times a second."""
        forget_ended(tune_controller)
        slots = self._slots(tune_controller._actor_manager.num_live_actors)
        if slots is None:
            chosen: Trial | None = super().choose_trial_to_run(tune_controller)
            return chosen
        trials = [trial for trial in tune_controller.get_trials() if not trial.is_finished()]
        resetting = tune_controller._resetting_trials  # in a worker of another trial that has ended
        started = [t for t in trials if t.status == Trial.RUNNING or t in resetting]
        pending = [t for t in trials if t.status == Trial.PENDING and t not in resetting]
        room = max(0, slots - len(started))
        next_ones, too_many = pending[:room], pending[room:]
        for trial in too_many:
            _pause(tune_controller, trial)
        if not next_ones and not room:
            tune_controller._cleanup_cached_actors(force_all=True)
            if not started:
                time.sleep(_IDLE_SECONDS)  # Tune itself waits only for what it has started
        if len(next_ones) == room:
            return None
        return next((trial for trial in trials if trial.status == Trial.PAUSED), None)


def _pause(tune_controller: Any, trial: Trial) -> None:
    """Pause a trial that has not begun, and give back the worker that was requested for it."""
    if trial in tune_controller._staged_trials:
        tune_controller._unstage_trial_with_resources(trial)
    if trial in tune_controller._trial_to_actor:
        tune_controller.pause_trial(trial, should_checkpoint=False)
    else:
        tune_controller._set_trial_status(trial, Trial.PAUSED)
