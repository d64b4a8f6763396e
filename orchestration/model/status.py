"""The status of a trial, as the terminal and the page show it."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.model.run import OUTCOMES

FINISHED_STATES = (*OUTCOMES, "reused")
"""The states of trials that have their result."""


@dataclass(frozen=True)
class TrialStatus:
    """The status of a trial.

    Args:
        state: waiting, running, paused (its search may prune it), completed, collapsed, diverged,
            reused (finished before this sweep was started), failed or stopped; missing if the sweep
            does not run.
        epoch: how many epochs are done.
        best: the best value of the metric so far; None if there is none.
        epoch_seconds: how long the last epoch took; None before the first.
        run_id: MLflow's id of the trial's run; empty if it has none.
        error: the last lines of the error that ended it, if it was read.
    """

    state: str = "waiting"
    epoch: int = 0
    best: float | None = None
    epoch_seconds: float | None = None
    run_id: str = ""
    error: str = ""

    @property
    def finished(self) -> bool:
        """Whether the trial has its result."""
        return self.state in FINISHED_STATES
