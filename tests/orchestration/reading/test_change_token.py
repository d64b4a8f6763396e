"""A stamp changes with all that a page shows, and with nothing else."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from mlflow import MlflowClient
from recorded import RecordedTrial, Recorder
from whole_sweep import record_digits

from orchestration.reading.change_token import change_token, change_tokens
from orchestration.reading.sql import SqlSource

CONFIG = {"architecture": "ann", "norm": "none", "dataset": "digits", "epochs": 8, "seed": 1}


@pytest.mark.parametrize("kind", ["sqlite_database", "postgres_database"])
def test_what_changes_a_stamp(kind: str, request: pytest.FixtureRequest) -> None:
    make: Callable[[], str] = request.getfixturevalue(kind)
    uri = make()
    experiment, parent = record_digits(uri, "digits", trials=3)
    record_digits(uri, "another", trials=1)
    client, recorder, source = MlflowClient(uri), Recorder(uri), SqlSource(uri)
    last = change_token(source, "digits")
    assert last == change_token(source, "digits")

    def changed() -> tuple[bool, bool]:
        nonlocal last
        before, last = last, change_token(source, "digits")
        return before.finished != last.finished, before.now != last.now

    run = recorder.trial(experiment, parent, RecordedTrial(CONFIG, [0.1], None, status=None))
    assert changed() == (False, True)
    client.log_metric(run, "test_accuracy", 0.2, step=2)
    assert changed() == (False, True)
    client.set_terminated(run, "FINISHED")
    assert changed() == (True, True)
    client.set_tag(run, "snn_sweep.reason", "replaced")  # as --fresh does
    assert changed() == (False, False)
    client.set_tag(run, "snn_sweep.role", "replaced")
    assert changed() == (True, True)
    client.set_tag(parent, "snn_sweep.status", "running")
    assert changed() == (False, True)
    client.set_tag(parent, "snn_sweep.spec", "{}")
    assert changed() == (True, True)
    client.delete_run(run)
    assert changed() == (True, True)
    run = client.search_runs([experiment], "attributes.status = 'FINISHED'")[0].info.run_id
    client.delete_run(run)
    assert changed() == (True, True)
    another = client.get_experiment_by_name("another")
    assert another is not None
    everything = change_tokens(source)
    recorder.trial(another.experiment_id, None, RecordedTrial(CONFIG, [0.5]))
    assert changed() == (False, False)
    assert {name for name, token in change_tokens(source).items() if token != everything[name]} == {
        "another"
    }
