"""The events of a sweep that is run from this machine, in words, as its log grows."""

from __future__ import annotations

import io
from collections import Counter, deque
from pathlib import Path

from orchestration.page.drawing.text import shown
from orchestration.progress.console import TextConsole
from orchestration.progress.display import LineDisplay
from orchestration.progress.event_log import Replay
from orchestration.progress.events import EpochDone, Event, Failed, Retried, Started

_MOST_LINES = 60
_MOST_LINES_OF_TRIAL = 12
_MOST_BYTES = 32_000_000
"""A longer log is not read: it would take too long."""


class EventTail:
    """The last events of one log, without epochs, which would hide all others.

    ``lines`` has those of the sweep, ``of_trial`` those of each trial by its label, and
    ``retried`` how often each trial was tried again.

    Args:
        path: of the log, which need not exist. None where the sweep can have none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self.lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.of_trial: dict[str, deque[str]] = {}
        self.offset = 0
        self._part = b""
        self._replay = Replay()
        self.retried: Counter[str] = Counter()
        self._out = io.StringIO()
        console = TextConsole(file=self._out, width=10_000, color_system=None)
        self._words = LineDisplay(console, lambda: self._replay.time)

    def _take(self, event: Event) -> None:
        self._words(event)
        lines = [shown(line, 400) for line in self._out.getvalue().splitlines()]
        self._out.seek(0)
        self._out.truncate()
        if isinstance(event, EpochDone):
            # The grid shows each epoch and how many have finished: what is left is the outcome.
            lines = [] if event.report["outcome"] is None else lines[-2:-1]
        self.lines.extend(lines)
        if isinstance(event, Started | EpochDone | Retried | Failed):
            of_trial = self.of_trial.setdefault(event.label, deque(maxlen=_MOST_LINES_OF_TRIAL))
            of_trial.extend(lines)
        if isinstance(event, Retried):
            self.retried[event.label] += 1

    def read(self) -> None:
        """Read what was written since the last call; a log that was replaced, from its start."""
        if self._path is None:
            return
        size = self._path.stat().st_size if self._path.is_file() else 0
        if size < self.offset:
            self._begin()
        if size == self.offset or size > _MOST_BYTES:
            return
        with self._path.open("rb") as file:
            file.seek(self.offset)
            read = file.read()
        self.offset += len(read)
        *lines, self._part = (self._part + read).split(b"\n")
        for line in lines:
            self._replay.feed(line.decode(errors="replace"), self._take)
