"""What Tune keeps of trials that have ended."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

from ray.tune.experiment import Trial

from orchestration.execution.retries import Retries
from orchestration.execution.trials.fair_share import FairShare
from orchestration.execution.trials.trial_queue import Budget, SweepTrialQueue
from orchestration.execution.tune import _Events, _Searcher


def test_a_trial_that_has_ended_leaves_next_to_nothing_behind() -> None:
    task: Any = SimpleNamespace(trial=SimpleNamespace(key="k", label="a trial"), text="x" * 10_000)
    trials = SweepTrialQueue([task], Budget(None), None, lambda _: [], lambda _: None)
    searcher = _Searcher(trials, FairShare(1.0, None, lambda _: None))
    config = searcher.suggest("1")
    trial = Trial(
        "trainable", config=config, trial_id="1", stub=True, _setup_default_resource=False
    )
    trial.update_last_result({"value": 0.5, "config": config, "training_iteration": 1})
    events = _Events(lambda _: None, searcher, Retries(0))

    events.on_trial_complete(trial=trial)

    assert len(json.dumps(trial.get_json_state())) < 5_000
    assert searcher.suggest("2") == "FINISHED"
