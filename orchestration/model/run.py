"""A trial's run, as the record has it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["TrialRun"]


@dataclass(frozen=True)
class TrialRun:
    """One MLflow run of a trial.

    Args:
        run_id: MLflow's id of the run.
        trial_key: the key of the trial.
        status: MLflow's status of the run.
        outcome: completed, collapsed or diverged. It is None until the trial has finished.
        epochs_done: the number of the last recorded epoch; 0 before the first.
        epoch_seconds: how long that epoch took; None before the first.
        version: the version of this package that started the run.
        resumable: whether the run's checkpoint and unsent records are at hand.
        best: the metric's value at the best epoch; None if there is none.
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

    @property
    def finished(self) -> bool:
        """Whether the run has a result."""
        return self.status == "FINISHED" and self.outcome is not None
