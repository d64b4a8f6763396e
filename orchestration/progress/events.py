"""The events of a sweep, which are passed to an ``EventHandler``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.sweep.plan import Plan

REPORTED = (
    *("epoch", "epoch_seconds", "value", "best", "outcome", "is_paused"),
    *("checkpoint_seconds", "overdue_since"),
)
"""The fields of an epoch's report; each may be missing."""


@dataclass(frozen=True)
class Planned:
    """The sweep has been planned, and is about to run."""

    plan: Plan


@dataclass(frozen=True)
class Added:
    """Further trials have been added to the sweep."""

    plan: Plan


@dataclass(frozen=True)
class Started:
    """A worker has started a trial."""

    label: str


@dataclass(frozen=True)
class EpochDone:
    """A trial has finished an epoch, or has closed its run."""

    label: str
    report: Mapping[str, Any]


@dataclass(frozen=True)
class Retried:
    """A trial will be tried again after a fault of the infrastructure."""

    label: str
    reason: str


@dataclass(frozen=True)
class Failed:
    """A trial has failed for good."""

    label: str
    reason: str


@dataclass(frozen=True)
class Supervised:
    """The submission is in the checkpoint store, so the cluster can restart the sweep."""


@dataclass(frozen=True)
class DecisionProgress:
    """The progress of the declared comparisons and the budget.

    Args:
        decided: how many of a cell's comparisons are decided, such as ``1 of 2``, by its label.
        words: the progress of the whole sweep: comparisons decided, hours used, next decision.
    """

    decided: Mapping[str, str]
    words: str


@dataclass(frozen=True)
class Note:
    """Something else that the user should know."""

    text: str


@dataclass(frozen=True)
class Sharing(Note):
    """The sweep begins to wait for its share of a cluster, or waits no longer."""

    waits: bool


Event = (
    Planned | Added | Started | EpochDone | Retried | Failed | Supervised | DecisionProgress | Note
)
EventHandler = Callable[[Event], None]
"""A function that is called with each event of a sweep, in order."""


def from_plan(handler: EventHandler) -> EventHandler:
    """A handler that passes events on from the first plan: a refused sweep leaves no log."""
    planned = False

    def handle(event: Event) -> None:
        nonlocal planned
        planned = planned or isinstance(event, Planned)
        if planned:
            handler(event)

    return handle


def both(first: EventHandler, second: EventHandler) -> EventHandler:
    """A handler that passes each event to two others."""

    def handle(event: Event) -> None:
        first(event)
        second(event)

    return handle
