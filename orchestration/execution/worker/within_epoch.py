"""Saves a run within its epoch: every few minutes, and before its node is taken away."""

from __future__ import annotations

import time
from collections.abc import Callable

from orchestration.execution.ray_nodes import seconds_left

_POLL_SECONDS = 2.0


class PreemptedError(Exception):
    """The node of a trial is about to be taken away, so the trial goes on elsewhere."""


class WithinEpoch:
    """Saves a run while it trains an epoch, every so many seconds."""

    def __init__(self, seconds: float, save: Callable[[], object]) -> None:
        self._seconds = seconds
        self._save = save
        self._saved = time.monotonic()
        self._asked = -_POLL_SECONDS
        self._seconds_left: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """The seconds until the node is taken away; None if nobody has announced that."""
        now = time.monotonic()
        if now - self._asked >= _POLL_SECONDS:
            self._asked, self._seconds_left = now, seconds_left()
        return self._seconds_left

    @property
    def is_due(self) -> bool:
        """Whether it is time to save."""
        return self.seconds_left is not None or time.monotonic() - self._saved >= self._seconds

    def save(self) -> None:
        """Save the run, and leave it if its node is taken away.

        Raises:
            PreemptedError: the node is taken away.
        """
        self._save()
        self._saved = time.monotonic()
        self.leave_if_taken_away()

    def leave_if_taken_away(self) -> None:
        """Raise an error if the node is taken away.

        Raises:
            PreemptedError: the node is taken away.
        """
        if (left := self.seconds_left) is not None:
            raise PreemptedError(f"its node is taken away in {left:.0f} s; it goes on elsewhere")

    def __call__(self, _images: int) -> None:
        """Save the run if that is due, after a training batch of so many images."""
        if self.is_due:
            self.save()
