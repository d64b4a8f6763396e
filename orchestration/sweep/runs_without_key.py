"""Finds the trials of recorded runs that have lost their trial keys. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from orchestration.model.config import text_of
from orchestration.model.run import TrialRun
from orchestration.model.trial import recorded_configuration
from orchestration.sweep.spec import SweepSpec


def with_trial_keys(runs: Iterable[TrialRun], spec: SweepSpec) -> list[TrialRun]:
    """Give each finished run without a key the key of the trial with the same configuration.

    With it, the run counts for a plan, as it does for the sweep's tables.

    Raises:
        SpecError: there is such a run, and the user's own code cannot be imported.
    """
    runs = list(runs)
    if not any(run.finished and not run.trial_key for run in runs):
        return runs
    trials = spec.possible_trials()
    keys = {
        recorded_configuration({k: text_of(v) for k, v in trial.config.given().items()}): trial.key
        for trial in trials
    }
    return [
        replace(run, trial_key=keys.get(recorded_configuration(run.params), ""))
        if run.finished and not run.trial_key
        else run
        for run in runs
    ]
