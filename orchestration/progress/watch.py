"""Who is told what happens in a sweep."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from orchestration.sweep.plan import Plan

__all__ = ["Watch"]


class Watch(Protocol):
    """Somebody who is told what happens in a sweep."""

    def planned(self, plan: Plan) -> None:
        """What the sweep is about to do."""

    def started(self, label: str) -> None:
        """A trial has a worker."""

    def epoch(self, label: str, report: Mapping[str, Any]) -> None:
        """A trial has done an epoch, or closed its books; ``report`` is the trial's own."""

    def retried(self, label: str, reason: str) -> None:
        """A trial will be tried again after a fault of the infrastructure."""

    def failed(self, label: str, reason: str) -> None:
        """A trial has failed for good."""

    def note(self, text: str) -> None:
        """Something else that the user should know."""
