"""What Tune keeps of trials that have ended."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

import pytest
from ray.train._internal.storage import StorageContext
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial
from ray.tune.progress_reporter import TrialProgressCallback
from ray.tune.utils.callback import _create_default_callbacks

from orchestration.execution.retries import Retries
from orchestration.execution.slot_limit import SlotLimit
from orchestration.execution.trials.fair_share import FairShare
from orchestration.execution.trials.trial_queue import Budget, SweepTrialQueue
from orchestration.execution.tune import _Events, _Searcher


def add_trial(controller: TuneController, trial_id: str) -> Trial:
    trial = Trial("trainable", trial_id=trial_id, stub=True, _setup_default_resource=False)
    controller.add_trial(trial)
    controller._set_trial_status(trial, Trial.RUNNING)
    controller._pending_trials_list.clear()  # as when it starts workers
    return trial


def test_only_the_last_of_the_trials_that_have_ended_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUNE_MAX_PENDING_TRIALS_PG", "200")  # Tune would ask Ray for its cores
    controller = TuneController(storage=StorageContext(str(tmp_path), "sweep"))
    limit, kept = SlotLimit(lambda _: None), weakref.WeakSet[Trial]()
    running = add_trial(controller, "running")
    for number in range(250):
        trial = add_trial(controller, str(number))
        kept.add(trial)
        controller._set_trial_status(trial, Trial.ERROR if number % 7 == 0 else Trial.TERMINATED)
        controller._mark_trial_to_checkpoint(trial)
        assert limit.choose_trial_to_run(controller._wrapped()) is None
    assert controller.get_trials()[0] is running
    assert controller.get_trials()[-1] is trial
    assert not controller.is_finished()
    gc.collect()
    assert len(kept) <= 100


def test_tune_adds_no_callback_that_keeps_them() -> None:
    trials = SweepTrialQueue([], Budget(None), None, lambda _: [], lambda _: None)
    searcher = _Searcher(trials, FairShare(1.0, None, lambda _: None))
    events = _Events(lambda _: None, searcher, Retries(0))
    callbacks = _create_default_callbacks([events])
    assert [one for one in callbacks if isinstance(one, TrialProgressCallback)] == [events]
