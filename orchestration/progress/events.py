"""What happens in a sweep, as data. Whoever wants to be told of it is a ``EventHandler``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestration.sweep.plan import Plan

REPORTED = ("epoch", "epoch_seconds", "value", "best", "outcome")
"""What is told of an epoch, as far as there is any of it."""


@dataclass(frozen=True)
class Planned:
    """What the sweep is about to do."""

    plan: Plan


@dataclass(frozen=True)
class Added:
    """Further trials that the sweep wants by now."""

    plan: Plan


@dataclass(frozen=True)
class Started:
    """A trial has a worker."""

    label: str


@dataclass(frozen=True)
class EpochDone:
    """A trial has done an epoch, or closed its run; ``report`` is the trial's own."""

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
    """What was submitted of the sweep lies in the checkpoint store."""


@dataclass(frozen=True)
class DecisionProgress:
    """How the declared comparisons and the budget stand.

    Args:
        decided: how many of how many comparisons of a cell are decided, by its label.
        words: of all of the sweep: comparisons decided, hours used, the next look.
    """

    decided: Mapping[str, str]
    words: str


@dataclass(frozen=True)
class Note:
    """Something else that the user should know."""

    text: str


Event = (
    Planned | Added | Started | EpochDone | Retried | Failed | Supervised | DecisionProgress | Note
)
EventHandler = Callable[[Event], None]
"""Is called with each event of a sweep, in the order in which they happen."""


def both(one: EventHandler, other: EventHandler) -> EventHandler:
    """A watch that tells two."""

    def tell(event: Event) -> None:
        one(event)
        other(event)

    return tell
