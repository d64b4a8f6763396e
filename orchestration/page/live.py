"""Streams the changes of a sweep's page to all its viewers; they are computed only once."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress

import anyio

from orchestration.errors import SweepError
from orchestration.page.drawing.pieces import Change, since
from orchestration.page.shared import IDLE_SECONDS
from services.errors import ServiceError

_POLL_SECONDS = 1.0
"""The time between two polls. It is longer if a poll takes more than a fifth of it."""
_MOST_CHANGES = 50
_LONGEST_SECONDS = 25.0
"""After this time a listener has to reconnect, so that no connection delays the server's stop."""


class ChangeStream:
    """The changes of one page."""

    def __init__(self, news: Callable[[str], Awaitable[list[Change]]]) -> None:
        self._fetch_news = news
        self.version = ""
        self.used = time.monotonic()
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)
        # Each event is set once and then replaced. A listener that is cancelled while it waits for
        # an event holds no lock; with a condition it would.
        self._next_change = asyncio.Event()
        self._listeners = 0
        self._polling: asyncio.Task[None] | None = None
        self._refreshing = asyncio.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether the page has no viewer now and had none lately."""
        return not self._listeners and time.monotonic() - self.used > IDLE_SECONDS

    async def refresh(self) -> None:
        """Fetch the changes since the last refresh."""
        async with self._refreshing:
            self.used = time.monotonic()
            for change in await self._fetch_news(self.version):
                if change.pieces is None:  # earlier changes do not lead to this version
                    self._changes.clear()
                self._changes.append(change)
                self.version = change.version
            self._next_change.set()
            self._next_change = asyncio.Event()

    async def listen(self, have: str) -> AsyncIterator[Change]:
        """Yield every change since this version, for a limited time."""
        deadline = time.monotonic() + _LONGEST_SECONDS
        self._listeners += 1
        if self._polling is None or self._polling.done():
            self._polling = asyncio.create_task(self._poll())
        try:
            while (left := deadline - time.monotonic()) > 0:
                for change in since(list(self._changes), have):
                    have = change.version
                    yield change
                if have == self.version:
                    with anyio.move_on_after(left):
                        await self._next_change.wait()
        finally:
            self._listeners -= 1

    async def _poll(self) -> None:
        while self._listeners:
            started = time.monotonic()
            with suppress(SweepError, ServiceError):  # deleted sweep, or database down
                await self.refresh()
            await asyncio.sleep(max(_POLL_SECONDS, 4 * (time.monotonic() - started)))
