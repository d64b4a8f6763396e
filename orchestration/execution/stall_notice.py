"""Notifies the addresses of ``SNN_SWEEP_NOTIFY`` of a sweep that makes no progress."""

from __future__ import annotations

import threading
import time
from typing import Self

from orchestration.execution.end_notice import send_notice
from orchestration.model.durations import duration
from orchestration.progress.events import EpochDone, Event, EventHandler, Failed, Started
from services.settings import Settings

_LEAST_SECONDS = 15 * 60.0
_EPOCHS = 3
"""How many times the longest epoch a sweep may take without progress."""


class StallNotice:
    """Passes a sweep's events on, and sends a notification if none shows progress for too long.

    Progress is a trial that starts, or ends an epoch or itself. Too long is three times the longest
    epoch so far, and at least 15 minutes. While the first epoch of a running trial is not known,
    nothing is too long. There is one notification until there is progress again.

    Args:
        settings: has the addresses; without any, events are only passed on.
        least_seconds: the shortest time without progress that is too long.
    """

    def __init__(
        self,
        name: str,
        settings: Settings,
        watch: EventHandler,
        least_seconds: float = _LEAST_SECONDS,
    ) -> None:
        self._name = name
        self._addresses = settings.notify
        self._watch = watch
        self._least = least_seconds
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._check, daemon=True)
        self._progress = time.monotonic()
        self._longest_epoch = 0.0
        self._has_started = False
        self._is_sent = False

    def __enter__(self) -> Self:
        self._progress = time.monotonic()
        if self._addresses:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        if self._addresses:
            self._thread.join()

    @property
    def silent(self) -> float:
        """Seconds since there was progress."""
        return time.monotonic() - self._progress

    @property
    def longest_epoch(self) -> float:
        """Seconds of the longest epoch so far; 0 before any."""
        return self._longest_epoch

    def __call__(self, event: Event) -> None:
        """Take one event and pass it on."""
        with self._lock:
            report = event.report if isinstance(event, EpochDone) else {}
            seconds = report.get("epoch_seconds") or 0.0
            self._longest_epoch = max(self._longest_epoch, seconds)
            self._has_started |= isinstance(event, Started)
            if seconds or report.get("outcome") or isinstance(event, Started | Failed):
                self._progress, self._is_sent = time.monotonic(), False
            self._watch(event)

    def _check(self) -> None:
        while not self._ended.wait(self._least / 20):
            with self._lock:
                silent = self.silent
                if not self._is_sent and silent > self._too_long():
                    self._is_sent = True
                    self._send(silent)

    def _too_long(self) -> float:
        if self._has_started and not self._longest_epoch:
            return float("inf")
        return max(self._least, _EPOCHS * self._longest_epoch)

    def _send(self, silent: float) -> None:
        longest = (
            f"The longest epoch so far took {duration(self._longest_epoch)}."
            if self._longest_epoch
            else "No trial has started: the cluster may have no free resources for one."
        )
        lines = [longest, f"What it waits for: snn-sweep logs {self._name}"]
        end = f"no progress for {duration(silent)}"
        send_notice(self._addresses, self._name, end, lines, self._watch)
