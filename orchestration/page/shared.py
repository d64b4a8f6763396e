"""What is kept for all who ask: results that are computed once, and the pages of sweeps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from threading import Lock
from typing import Generic, Protocol, TypeVar

_T = TypeVar("_T")
IDLE_SECONDS = 60.0
"""How long the objects of a page that has no viewers are kept."""


class _Viewed(Protocol):
    @property
    def is_idle(self) -> bool: ...


_V = TypeVar("_V", bound=_Viewed)


class OfSweeps(Generic[_V]):
    """An object for each sweep whose page has viewers; idle ones are dropped."""

    def __init__(self, make: Callable[[str], _V]) -> None:
        self._make = make
        self._lock = Lock()
        self._kept: dict[str, _V] = {}

    def of(self, name: str) -> _V:
        """The object of this sweep. The sweep need not exist until the object is used."""
        with self._lock:
            self._kept = {key: kept for key, kept in self._kept.items() if not kept.is_idle}
            if name not in self._kept:
                self._kept[name] = self._make(name)
            return self._kept[name]


class Shared(Generic[_T]):
    """Keeps the results that were asked for last. Its method may be called from several threads."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = Lock()
        self._results: OrderedDict[Hashable, Future[_T]] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], _T]) -> _T:
        """Give the result of this key, which is made now, by another thread, or was made before.

        An error of ``make`` is raised to all who wait for it, and is not kept.
        """
        with self._lock:
            result = self._results.get(key)
            is_first = result is None
            if result is None:
                result = self._results[key] = Future()
                while len(self._results) > self._most:
                    self._results.popitem(last=False)
            self._results.move_to_end(key)
        if is_first:
            try:
                result.set_result(make())
            except BaseException as error:
                with self._lock:
                    self._results.pop(key, None)
                result.set_exception(error)
                raise
        return result.result()
