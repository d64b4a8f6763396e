"""The outcome of a sweep, and the announcement of its plan."""

from __future__ import annotations

from dataclasses import dataclass

from orchestration.progress.events import EventHandler, Note, Planned
from orchestration.sweep.plan import Plan


@dataclass(frozen=True)
class SweepOutcome:
    """How a sweep ended."""

    name: str
    reused: int
    """The number of trials that already had a result."""
    failures: dict[str, str]
    """Why each failed trial failed, by its label."""
    interrupted: bool
    """Whether the user stopped it before its end."""
    tracking_uri: str
    unfinished: tuple[str, ...] = ()
    """The labels of trials that are missing because the GPU hours are used up."""


def announce(plan: Plan, watch: EventHandler) -> None:
    """Announce a plan and its warnings."""
    watch(Planned(plan))
    for warning in plan.warnings:
        watch(Note(f"warning: {warning}"))
