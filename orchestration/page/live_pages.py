"""The pages of sweeps that somebody looks at, each read and written once for all of them."""

from __future__ import annotations

import time

from orchestration.execution.here import Here, log_path
from orchestration.model.sweep_name import is_sweep_name
from orchestration.page.drawing.pieces import Page
from orchestration.page.events import EventTail
from orchestration.page.live import Live
from orchestration.page.read import Reader
from orchestration.page.sections import sections
from services.settings import Settings

__all__ = ["LivePages"]

_DRIVER_SECONDS = 4.0
"""After which it is asked again who drives a sweep that somebody watches."""


class LivePages:
    """Pages by the names of their sweeps; one that nobody looks at goes.

    Args:
        reader: of MLflow's database.
        settings: where this machine's sweeps leave their logs and who drives them.
        base: what addresses of the server begin with.
    """

    def __init__(self, reader: Reader, settings: Settings, base: str) -> None:
        self._reader, self._settings, self._base = reader, settings, base
        self._here = Here(settings)
        self._live: dict[str, Live] = {}

    def of(self, name: str) -> Live:
        """The page of this sweep; whether there is such a one shows once it is read."""
        for other in [other for other, live in self._live.items() if live.is_idle]:
            del self._live[other]
        if name not in self._live:
            self._live[name] = self._make(name)
        return self._live[name]

    def _make(self, name: str) -> Live:
        tail = EventTail(log_path(self._settings, name) if is_sweep_name(name) else None)
        asked, driver = 0.0, None

        def look() -> str:
            nonlocal asked, driver
            tail.read()
            if time.monotonic() - asked > _DRIVER_SECONDS:  # over S3 it takes a while to learn
                asked, driver = time.monotonic(), self._here.drivers([name]).get(name)
            return f"{self._reader.stamps(name)} {tail.offset} {driver}"

        def draw() -> Page:
            sweep = self._reader.sweep(name)
            return sections(self._base, sweep, driver, list(tail.lines), tail.retried)

        return Live(look, draw)
