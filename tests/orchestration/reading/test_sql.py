"""How several threads read one database."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from orchestration.reading.sql import SqlSource


def test_threads_read_sqlite_one_after_the_other(sqlite_database: Callable[[], str]) -> None:
    """While somebody reads, nobody can write: with overlapping readers a writer waits for long."""
    source = SqlSource(sqlite_database())
    begun = threading.Event()

    def read() -> None:
        with source.transaction():
            begun.set()

    with ThreadPoolExecutor(1) as pool:
        with source.transaction():
            other = pool.submit(read)
            assert not begun.wait(0.2)
        other.result(30)
    assert begun.is_set()
