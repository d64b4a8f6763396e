"""The page of a sweep that has viewers, as it changes."""

from __future__ import annotations

import hashlib
import json
import time
from collections import deque
from threading import Lock

from orchestration.execution.local_sweeps import LocalSweeps, log_path
from orchestration.model.sweep_name import is_sweep_name
from orchestration.page.drawing.pieces import Change, Page, changes, since
from orchestration.page.events import EventTail
from orchestration.page.read import Reader, Sweep
from orchestration.page.sections import sections
from orchestration.page.shared import IDLE_SECONDS
from services.settings import Settings

_DRIVER_SECONDS = 4.0
"""How long the name of the driver of a viewed sweep is cached, as the lookup is slow in S3."""
_MOST_CHANGES = 10
"""How many changes are kept for a server that has not yet fetched them."""


class LivePage:
    """The changing parts of a sweep's page, which are read and drawn once for all its viewers.

    The methods may be called from several threads.
    """

    def __init__(self, reader: Reader, settings: Settings, base: str, name: str) -> None:
        self._reader, self._base, self._name = reader, base, name
        self._here = LocalSweeps(settings)
        self._tail = EventTail(log_path(settings, name) if is_sweep_name(name) else None)
        self._driver_looked_up = 0.0
        self.driver: str | None = None
        """The process that runs the sweep; None if this machine does not know it."""
        self._lock = Lock()
        self._used = time.monotonic()
        self._version, self._page = "", Page({})
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)

    @property
    def is_idle(self) -> bool:
        """Whether the page had no viewer lately."""
        return time.monotonic() - self._used > IDLE_SECONDS

    def current(self) -> tuple[str, Page, Sweep]:
        """The current version of the page, the page and the sweep."""
        asked = time.monotonic()
        with self._lock:
            sweep = self._reader.sweep(self._name, asked)
            self._used = time.monotonic()
            self._tail.read()
            if time.monotonic() - self._driver_looked_up > _DRIVER_SECONDS:
                self._driver_looked_up = time.monotonic()
                self.driver = self._here.drivers([self._name]).get(self._name)
            content = f"{sweep.token} {self._tail.offset} {self.driver}"
            version = hashlib.sha256(content.encode()).hexdigest()[:16]
            if version != self._version:
                lines, retried = list(self._tail.lines), self._tail.retried
                page = sections(self._base, sweep, self.driver, lines, retried)
                # The first version has no earlier page from which it could differ.
                pieces = json.dumps(changes(self._page, page)) if self._version else None
                self._changes.append(Change(version, pieces))
                self._version, self._page = version, page
            return self._version, self._page, sweep

    def news(self, have: str) -> list[Change]:
        """The changes since this version."""
        self.current()
        with self._lock:
            return since(list(self._changes), have)

    def events_of(self, label: str) -> list[str]:
        """The last events of the trial with this label, newest first."""
        self.current()
        with self._lock:
            return list(reversed(self._tail.of_trial.get(label, ())))
