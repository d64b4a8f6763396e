"""The database is looked at once for all who ask at the same time."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from commands import wait_until
from mlflow import MlflowClient
from own_sweep import record

from orchestration.page.read import Reader
from orchestration.reading.records import MetricsToRead, MlflowRun
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource
from orchestration.reading.summaries import all_sweeps

TRIALS = "tags.`snn_sweep.role` = 'trial'"


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


def test_the_list_reads_again_only_sweeps_that_have_changed(
    uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = SqlSource(uri)
    reader, read, sweep_runs = Reader(source), list[set[str]](), source.sweep_runs

    def noted(metrics: MetricsToRead, sweeps: Collection[str]) -> list[MlflowRun]:
        read.append(set(sweeps))
        return sweep_runs(metrics, sweeps)

    monkeypatch.setattr(source, "sweep_runs", noted)
    first = reader.sweeps()
    assert reader.sweeps() == first == all_sweeps(SqlSource(uri))
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("own")
    assert experiment is not None
    client.delete_run(client.search_runs([experiment.experiment_id], TRIALS)[0].info.run_id)
    assert reader.sweeps() == all_sweeps(SqlSource(uri)) != first
    assert read == [{"first", "own", "last"}, {"own"}]


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
