"""A separate process that reads, computes and draws the pages.

Python runs one thread at a time, so that a thread which draws a large page would hold up the event
loop of MLflow's server, and each of its requests. The process has one core at most.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from multiprocessing import get_context, parent_process
from multiprocessing.managers import BaseManager
from typing import Any, Concatenate, ParamSpec, TypeVar

import anyio

from orchestration.page.drawer import Drawer
from services.errors import ServiceError

_P = ParamSpec("_P")
_T = TypeVar("_T")

_ENDING_SECONDS = 1.0
"""A process that no longer answers has ended within this time."""


class Calls:
    """Calls methods of a drawer without holding up the event loop.

    Args:
        at_once: how many at most; further ones wait for their turn.
        abandon: whether a call goes on when nobody waits for it any longer.
    """

    def __init__(self, process: Process, at_once: int, *, abandon: bool = False) -> None:
        self._process, self._abandon = process, abandon
        self._limiter = anyio.CapacityLimiter(at_once)  # and not MLflow's own limit

    async def __call__(
        self, method: Callable[Concatenate[Drawer, _P], _T], *args: _P.args, **given: _P.kwargs
    ) -> _T:
        """Return or raise what the method does."""

        def call() -> _T:
            return self._process.call(method, *args, **given)

        return await anyio.to_thread.run_sync(
            call, limiter=self._limiter, abandon_on_cancel=self._abandon
        )


class Process:
    """A drawer in a process of its own, which is started by the first call, and again if it ends.

    Args:
        arguments: of Drawer; they are pickled.
    """

    def __init__(self, *arguments: Any) -> None:
        self._arguments = arguments
        self._starting = threading.Lock()
        self._manager: _Manager | None = None
        self._drawer: Any = None

    def call(
        self, method: Callable[Concatenate[Drawer, _P], _T], *args: _P.args, **given: _P.kwargs
    ) -> _T:
        """Return or raise what the method does.

        Raises:
            ServiceError: the process has ended meanwhile, twice.
        """
        for _ in range(2):
            manager, drawer = self._running()
            try:
                result: _T = drawer._callmethod(method.__name__, args, given)
                return result
            except (EOFError, OSError):
                if not manager.has_ended():
                    raise  # the method's own
                self._forget(manager)
        raise ServiceError("the process that draws the pages of sweeps has ended, twice")

    def _running(self) -> tuple[_Manager, Any]:
        with self._starting:
            if self._manager is None:
                manager: Any = _Manager(ctx=get_context("spawn"))
                manager.start(_begin)
                self._manager, self._drawer = manager, manager.drawer(*self._arguments)
            return self._manager, self._drawer

    def _forget(self, manager: _Manager) -> None:
        with self._starting:
            if self._manager is manager:
                self._manager = None


class _Manager(BaseManager):
    def has_ended(self) -> bool:
        """Whether the process has ended, or ends within a moment."""
        self.join(_ENDING_SECONDS)
        return self._process is None  # type: ignore[attr-defined]


_Manager.register("drawer", Drawer)


def _begin() -> None:
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(0)

    threading.Thread(target=end_with_parent, daemon=True).start()
