"""A sweep's page for all who look at it: read and rendered once, its changes told to each."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass

import anyio

from orchestration.errors import SweepError
from orchestration.page.drawing.pieces import Page, changes
from services.errors import ServiceError

__all__ = ["Change", "Live"]

_LOOK_SECONDS = 1.0
"""Between two looks; more where a look takes long, so that it takes a fifth of the time at most."""
_MOST_CHANGES = 50
_LONGEST_SECONDS = 25.0
"""After which a listener has to ask again, so that a server that is stopped waits for nobody."""

_IDLE_SECONDS = 60.0

_threads = anyio.CapacityLimiter(4)  # and not MLflow's own, which its requests wait for


@dataclass(frozen=True)
class Change:
    """What is new on a page.

    Args:
        version: of the page afterwards.
        pieces: as of ``pieces.changes``; None where the page has to be fetched anew.
    """

    version: str
    pieces: dict[str, dict[str, str]] | None


class Live:
    """One page.

    Args:
        look: gives what the page follows from, as a text that is equal as long as the page is.
        render: gives the page.
    """

    def __init__(self, look: Callable[[], str], render: Callable[[], Page]) -> None:
        self._look, self._render = look, render
        self.page = Page({})
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
        """Whether nobody looks at it, nor has lately."""
        return not self._listeners and time.monotonic() - self.used > _IDLE_SECONDS

    async def refresh(self) -> None:
        """Bring the page up to date."""
        async with self._looking:
            self.used = time.monotonic()
            found = await anyio.to_thread.run_sync(self._next, limiter=_threads)
            if found is None:
                return
            version, page = found
            # The first one too, after which there are no changes yet.
            self._changes.append(Change(version, changes(self.page, page)))
            self.version, self.page = version, page
            self._news.set()
            self._news = asyncio.Event()

    def _next(self) -> tuple[str, Page] | None:
        version = hashlib.sha256(self._look().encode()).hexdigest()[:16]
        return None if version == self.version else (version, self._render())

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
                for change in self._since(have):
                    have = change.version
                    yield change
                if have == self.version:
                    with anyio.move_on_after(left):
                        await self._news.wait()
        finally:
            self._listeners -= 1

    def _since(self, have: str) -> list[Change]:
        if have == self.version:
            return []
        known = [change.version for change in self._changes]
        if have in known:
            return list(self._changes)[known.index(have) + 1 :]
        return [Change(self.version, None)]

    async def _watch(self) -> None:
        while self._listeners:
            started = time.monotonic()
            with suppress(SweepError, ServiceError):  # the sweep was deleted, or its database rests
                await self.refresh()
            await asyncio.sleep(max(_LOOK_SECONDS, 4 * (time.monotonic() - started)))
