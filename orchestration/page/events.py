"""What has happened in a sweep that is run from this machine, in words, as its log grows."""

from __future__ import annotations

import io
from collections import Counter, deque
from pathlib import Path

from orchestration.page.drawing.text import shown
from orchestration.progress.console import TextConsole
from orchestration.progress.display import LineDisplay
from orchestration.progress.event_log import Replay
from orchestration.progress.events import Event, Retried

_MOST_LINES = 60
_MOST_BYTES = 32_000_000
"""Of a longer log nothing is told: to read it again would take too long."""


class EventTail:
    """The last events of one log, and how often which trial was tried again, by its label.

    Args:
        path: of the log; it need not be there. None where the sweep can have none.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._begin()

    def _begin(self) -> None:
        self.lines: deque[str] = deque(maxlen=_MOST_LINES)
        self.offset = 0
        self._part = b""
        self._replay = Replay()
        self.retried: Counter[str] = Counter()
        self._out = io.StringIO()
        console = TextConsole(file=self._out, width=10_000, color_system=None)
        self._words = LineDisplay(console, lambda: self._replay.time)

    def _take(self, event: Event) -> None:
        self._words(event)
        if isinstance(event, Retried):
            self.retried[event.label] += 1

    def read(self) -> None:
        """Take in what was written since; a log that was begun anew is read from its start."""
        if self._path is None:
            return
        size = self._path.stat().st_size if self._path.is_file() else 0
        if size < self.offset:
            self._begin()
        if size == self.offset or size > _MOST_BYTES:
            return
        with self._path.open("rb") as file:
            file.seek(self.offset)
            found = file.read()
        self.offset += len(found)
        *lines, self._part = (self._part + found).split(b"\n")
        for line in lines:
            self._replay.feed(line.decode(errors="replace"), self._take)
        told = self._out.getvalue().splitlines()
        self._out.seek(0)
        self._out.truncate()
        self.lines.extend(shown(line, 400) for line in told)
