"""Sends the changes of a sweep's page, which are asked for once, to all who look at it."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial

import anyio

from orchestration.errors import SweepError
from orchestration.page.drawing.pieces import Change, since
from services.errors import ServiceError

_LOOK_SECONDS = 1.0
"""The time between two polls. It is longer where a poll takes more than a fifth of it."""
_MOST_CHANGES = 50
_LONGEST_SECONDS = 25.0
"""After this time a listener has to connect again, so that no connection delays a stop."""

_IDLE_SECONDS = 60.0


class Lives:
    """Pages by the names of their sweeps; pages that nobody looks at are dropped.

    Args:
        news: gives what has changed on the page of a sweep since a version.
    """

    def __init__(self, news: Callable[[str, str], Awaitable[list[Change]]]) -> None:
        self._news = news
        self._lives: dict[str, Live] = {}

    def of(self, name: str) -> Live:
        """The page of this sweep, which need not exist until the page is asked for."""
        for other in [other for other, live in self._lives.items() if live.is_idle]:
            del self._lives[other]
        if name not in self._lives:
            self._lives[name] = Live(partial(self._news, name))
        return self._lives[name]


class Live:
    """One page.

    Args:
        news: gives what has changed on it since a version.
    """

    def __init__(self, news: Callable[[str], Awaitable[list[Change]]]) -> None:
        self._ask = news
        self.version = ""
        self.used = time.monotonic()
        self._changes: deque[Change] = deque(maxlen=_MOST_CHANGES)
        # Set once, and replaced by the next: whoever is cut off while he waits holds nothing, as he
        # would with a condition and its lock.
        self._news = asyncio.Event()
        self._listeners = 0
        self._watching: asyncio.Task[None] | None = None
        self._looking = asyncio.Lock()

    @property
    def is_idle(self) -> bool:
        """Whether nobody looks at the page or has looked at it lately."""
        return not self._listeners and time.monotonic() - self.used > _IDLE_SECONDS

    async def refresh(self) -> None:
        """Learn what has changed since the last time."""
        async with self._looking:
            self.used = time.monotonic()
            for change in await self._ask(self.version):
                if change.pieces is None:  # what came before leads to this version no longer
                    self._changes.clear()
                self._changes.append(change)
                self.version = change.version
            self._news.set()
            self._news = asyncio.Event()

    async def listen(self, have: str) -> AsyncIterator[Change]:
        """Give every change from this version on, for a while.

        Args:
            have: the version of the page that the listener has.
        """
        deadline = time.monotonic() + _LONGEST_SECONDS
        self._listeners += 1
        if self._watching is None or self._watching.done():
            self._watching = asyncio.create_task(self._watch())
        try:
            while (left := deadline - time.monotonic()) > 0:
                for change in since(list(self._changes), have):
                    have = change.version
                    yield change
                if have == self.version:
                    with anyio.move_on_after(left):
                        await self._news.wait()
        finally:
            self._listeners -= 1

    async def _watch(self) -> None:
        while self._listeners:
            started = time.monotonic()
            with suppress(SweepError, ServiceError):  # the sweep was deleted, or its database rests
                await self.refresh()
            await asyncio.sleep(max(_LOOK_SECONDS, 4 * (time.monotonic() - started)))
