"""The database is looked at once for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from commands import wait_until
from own_sweep import record

from orchestration.page.read import Reader
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource


@pytest.fixture(scope="module")
def uri(sqlite_database: Callable[[], str]) -> str:
    uri = sqlite_database()
    for name in ("first", "own", "last"):
        record(uri, name)
    return uri


@pytest.mark.parametrize("source", [SqlSource, RestSource])
def test_names_are_those_of_the_list_in_its_order(uri: str, source: Callable[[str], Any]) -> None:
    reader = Reader(source(uri))
    assert reader.names() == [one.name for one in reader.sweeps()]
    assert set(reader.names()) == {"first", "own", "last"}


def test_visitors_who_ask_at_the_same_time_share_a_look_at_the_database(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = Reader(SqlSource(uri))
    begun, go_on = threading.Event(), threading.Event()
    look, looks = reader.token, []

    def slowly(name: str | None = None) -> Any:
        looks.append(name)
        begun.set()
        assert go_on.wait(60)
        return look(name)

    monkeypatch.setattr(reader, "token", slowly)
    with ThreadPoolExecutor(8) as visitors:
        first = visitors.submit(reader.sweep, "own")
        assert begun.wait(60)
        asked = time.monotonic()
        others = [visitors.submit(reader.sweep, "own", asked) for _ in range(7)]
        go_on.set()
        found = {id(one.result()) for one in (first, *others)}
    assert len(found) == 1
    assert looks == ["own", "own"]  # the first look began before the others asked


def test_threads_that_need_a_table_at_the_same_time_share_it(uri: str) -> None:
    data = Reader(SqlSource(uri)).sweep("own").data
    begun, go_on, computed = threading.Event(), threading.Event(), []

    def slowly(_: object) -> list[object]:
        computed.append("once")
        begun.set()
        assert go_on.wait(60)
        return [object()]

    with ThreadPoolExecutor(2) as threads:
        first = threads.submit(data.once, slowly)
        assert begun.wait(60)
        second = threads.submit(data.once, slowly)
        wait_until(second.running)
        go_on.set()
        assert first.result() is second.result()
    assert computed == ["once"]
