"""The pages of sweeps that have viewers. Each is read and drawn once for all its viewers."""

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
from services.settings import Settings

_DRIVER_SECONDS = 4.0
"""How long the name of the driver of a viewed sweep is cached."""
_IDLE_SECONDS = 60.0
_MOST_CHANGES = 10
"""How many changes are kept for a server that has not yet fetched them."""


class LivePages:
    """The live pages by sweep name. Idle pages are dropped.

    Args:
        reader: reads MLflow's database.
        settings: locate the logs and the drivers of this machine's sweeps.
        base: the prefix of the server's addresses.
    """

    def __init__(self, reader: Reader, settings: Settings, base: str) -> None:
        self._reader, self._settings, self._base = reader, settings, base
        self._lock = Lock()
        self._pages: dict[str, LivePage] = {}

    def of(self, name: str) -> LivePage:
        """The page of this sweep. The sweep need not exist until the page is read."""
        with self._lock:
            idle = [other for other, page in self._pages.items() if page.is_idle]
            for other in idle:
                del self._pages[other]
            if name not in self._pages:
                self._pages[name] = LivePage(self._reader, self._settings, self._base, name)
            return self._pages[name]


class LivePage:
    """The changing parts of a sweep's page. The methods may be called from several threads.

    Args:
        reader, settings, base: the same arguments as `LivePages`.
        name: the name of the sweep.
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
        return time.monotonic() - self._used > _IDLE_SECONDS

    def current(self) -> tuple[str, Page, Sweep]:
        """The current version of the page, the page and the sweep."""
        asked = time.monotonic()
        with self._lock:
            sweep = self._reader.sweep(self._name, asked)
            self._used = time.monotonic()
            self._read_log_and_driver()
            content = f"{sweep.token} {self._tail.offset} {self.driver}"
            version = hashlib.sha256(content.encode()).hexdigest()[:16]
            if version != self._version:
                page = self._draw(sweep)
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

    def _read_log_and_driver(self) -> None:
        """Read what the page shows besides the sweep's records: its events and its driver."""
        self._tail.read()
        # The lookup is slow if the store is S3.
        if time.monotonic() - self._driver_looked_up > _DRIVER_SECONDS:
            self._driver_looked_up = time.monotonic()
            self.driver = self._here.drivers([self._name]).get(self._name)

    def _draw(self, sweep: Sweep) -> Page:
        lines = list(self._tail.lines)
        return sections(self._base, sweep, self.driver, lines, self._tail.retried)
