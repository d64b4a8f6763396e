"""A recorded run of a trial."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

OUTCOMES = ("completed", "collapsed", "diverged")
"""How a trial that has a result can have ended."""

PRUNED = "pruned"
"""The outcome of a trial that its search dropped. It has no result, and its run ends as KILLED."""


def has_result(status: str, outcome: str | None) -> bool:
    """Whether a run has the result of its trial.

    A run that somebody ended by hand is FINISHED, but has no outcome: its trial is still to be
    finished.
    """
    return status == "FINISHED" and outcome is not None


def was_pruned(status: str, outcome: str | None) -> bool:
    """Whether a run is of a trial that its search dropped."""
    return (status, outcome) == ("KILLED", PRUNED)


@dataclass(frozen=True)
class TrialRun:
    """One MLflow run of a trial.

    Args:
        outcome: completed, collapsed or diverged. It is None until the trial has finished.
        epochs_done: the number of the last recorded epoch; 0 before the first.
        epoch_seconds: how long that epoch took; None before the first.
        version: the version of this package that started the run.
        resumable: whether the run's checkpoint and unsent records are in the checkpoint store.
        best: the metric's value at the best epoch; None if there is none.
        started, ended: milliseconds since 1970; None if MLflow has no such time.
        params: the run's parameters in MLflow.
    """

    run_id: str
    trial_key: str
    status: Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
    outcome: str | None
    epochs_done: int
    epoch_seconds: float | None
    version: str | None
    resumable: bool
    best: float | None = None
    started: int | None = None
    ended: int | None = None
    params: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return has_result(self.status, self.outcome)
