"""How far sweeps have come, as MLflow has it now, over REST and over SQL."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from mlflow import MlflowClient
from whole_sweep import record_digits

from orchestration.errors import InputError
from orchestration.reading.rest import RestSource
from orchestration.reading.sql import SqlSource
from orchestration.reading.summaries import all_sweeps, one_sweep
from orchestration.record.names import spec_from_tags, spec_tags
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.store.base import Storage

WAYS = [RestSource, SqlSource]


def respecify(client: MlflowClient, parent: str, **changes: Any) -> None:
    """Change the spec that a sweep's own run has."""
    given = json.loads(spec_from_tags(client.get_run(parent).data.tags) or "")
    for tag, text in spec_tags(json.dumps({**given, **changes})).items():
        client.set_tag(parent, tag, text)


@pytest.mark.parametrize("way", WAYS)
def test_a_sweep_goes_by_its_experiments_present_name(
    way: Callable[[str], RestSource | SqlSource],
    sqlite_database: Callable[[], str],
    storage: Storage,
) -> None:
    client = MlflowClient(uri := sqlite_database())
    experiment, _ = record_digits(uri, "old", trials=1)
    client.rename_experiment(experiment, "new")
    assert [sweep.name for sweep in all_sweeps(way(uri))] == ["new"]
    told = "'old' was renamed to 'new' in MLflow: call it that, in its spec too"
    with pytest.raises(InputError, match=told):
        one_sweep(way(uri), "old")
    with pytest.raises(InputError, match=told):
        SweepRecorder(client, "old", storage)
    assert SweepRecorder(client, "new", storage).experiment_id == experiment
    with pytest.raises(InputError, match="known are new"):
        one_sweep(way(uri), "another")


@pytest.mark.parametrize("way", WAYS)
def test_the_status_of_a_sweep_reads_no_other_sweep(
    way: Callable[[str], RestSource | SqlSource],
    sqlite_database: Callable[[], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    uri = sqlite_database()
    record_digits(uri, "one", trials=1)
    record_digits(uri, "another", trials=2)
    source, read = way(uri), []
    sweep_runs = source.sweep_runs
    monkeypatch.setattr(
        source, "sweep_runs", lambda *given: [read.append(run) or run for run in sweep_runs(*given)]
    )
    assert one_sweep(source, "one").trials == {"completed": 1}
    assert {run.experiment for run in read} == {"one"}


@pytest.mark.parametrize("way", WAYS)
def test_a_completed_sweep_that_lost_a_run_is_incomplete(
    way: Callable[[str], RestSource | SqlSource], sqlite_database: Callable[[], str]
) -> None:
    client = MlflowClient(uri := sqlite_database())
    experiment, _ = record_digits(uri, "digits")
    before = one_sweep(way(uri), "digits")
    assert (before.status, before.missing) == ("completed", 0)
    run = client.search_runs([experiment], "tags.`snn_sweep.role` = 'trial'")[0]
    client.delete_run(run.info.run_id)
    after = one_sweep(way(uri), "digits")
    assert (after.status, after.missing) == ("incomplete", 1)
    assert after.progress == f"{before.finished - 1} of {before.expected}"


@pytest.mark.parametrize("way", WAYS)
def test_what_an_earlier_spec_wanted_does_not_make_up_for_what_is_missing(
    way: Callable[[str], RestSource | SqlSource], sqlite_database: Callable[[], str]
) -> None:
    client = MlflowClient(uri := sqlite_database())
    experiment, parent = record_digits(uri, "digits")
    respecify(client, parent, seeds=[42])
    smaller = one_sweep(way(uri), "digits")
    assert (smaller.status, smaller.progress, smaller.not_wanted) == ("completed", "6 of 6", 12)
    found = client.search_runs([experiment], "params.seed = '42'")[0]
    client.delete_run(found.info.run_id)
    after = one_sweep(way(uri), "digits")
    assert (after.status, after.progress, after.missing) == ("incomplete", "5 of 6", 1)


@pytest.mark.parametrize("way", WAYS)
def test_only_own_code_knows_what_its_shrunken_spec_wants(
    way: Callable[[str], RestSource | SqlSource], sqlite_database: Callable[[], str]
) -> None:
    client = MlflowClient(uri := sqlite_database())
    _, parent = record_digits(uri, "digits")
    respecify(client, parent, seeds=[42], dataset="nowhere_at_all:images")
    assert one_sweep(way(uri), "digits").progress == "18, 6 wanted"
