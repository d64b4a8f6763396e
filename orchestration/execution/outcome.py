"""How a sweep ended, and what is said when it begins."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.progress.events import EventHandler, Note, Planned
from orchestration.sweep.plan import Plan


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended."""

    name: str
    reused: int
    """Trials that had their result from before."""
    failures: dict[str, str]
    """Why each failed trial did, by its label."""
    interrupted: bool
    """Whether the user stopped it before its end."""
    tracking_uri: str
    unfinished: tuple[str, ...] = ()
    """Trials that the budget of GPU hours did not suffice for, by their labels."""


def announce(plan: Plan, watch: EventHandler) -> None:
    """Tell what is going to happen."""
    watch(Planned(plan))
    for warning in plan.warnings:
        watch(Note(f"warning: {warning}"))
