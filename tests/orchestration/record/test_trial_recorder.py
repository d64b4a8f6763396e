from __future__ import annotations

import math
import time
import uuid
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from commands import wait_until
from mlflow import MlflowClient
from mlflow.entities import Run
from proxy import Proxy

from orchestration.model.trial import Trial
from orchestration.record import trial_recorder
from orchestration.record.client import connect
from orchestration.record.spool import Spool, read_spool
from orchestration.record.trial_recorder import (
    RefusedError,
    TrackerAwayError,
    TrialRecorder,
    deliver,
)
from orchestration.store.open import open_storage
from snn_norm.config import RunConfig

MakeRecorder = Callable[..., TrialRecorder]
TRIAL = Trial(
    RunConfig(architecture="ann", norm="none", dataset="digits", epochs=3, seed=42),
    key="k" * 16,
    cell_label="ann none",
)


@pytest.fixture
def proxy(tracking_uri: str) -> Iterator[Proxy]:
    port = urlsplit(tracking_uri).port
    assert port is not None
    with Proxy(port) as proxy:
        yield proxy


@pytest.fixture
def experiment_id(tracking_uri: str) -> str:
    return str(connect(tracking_uri).create_experiment(f"recorder {uuid.uuid4()}"))


@pytest.fixture
def make_recorder(experiment_id: str, proxy: Proxy, tmp_path: Path) -> Iterator[MakeRecorder]:
    """Makes recorders of one trial, all on the same spool, that reach MLflow by the proxy."""
    made: list[TrialRecorder] = []

    def make(patience: float = 60.0) -> TrialRecorder:
        client = connect(f"http://127.0.0.1:{proxy.port}")
        spool = Spool(open_storage(str(tmp_path)))
        made.append(TrialRecorder(client, TRIAL, experiment_id, "parent", spool, patience))
        return made[-1]

    yield make
    for recorder in made:
        recorder.close()


def runs_of(tracking_uri: str, experiment_id: str) -> list[Run]:
    return list(connect(tracking_uri).search_runs([experiment_id]))


def points(client: MlflowClient, run_id: str, metric: str) -> list[tuple[int, float]]:
    return sorted((m.step, m.value) for m in client.get_metric_history(run_id, metric))


def record_epochs(recorder: TrialRecorder, *epochs: int) -> None:
    for epoch in epochs:
        recorder.record_epoch(epoch, {"test_accuracy": epoch / 10, "train_loss": 1 / epoch}, {})


def test_a_trial_is_recorded_as_the_contract_says(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    record_epochs(recorder, 1, 2, 3)
    recorder.end("completed", {"best_test_accuracy": 0.3, "best_epoch": 3})
    recorder.finish()

    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == "ann none seed 42"
    params = run.data.params
    assert params.keys() == TRIAL.config.given().keys()
    # Texts are recorded as they are, all else as JSON.
    assert (params["architecture"], params["learning_rate"]) == ("ann", "0.001")
    assert (params["seed"], params["augment"]) == ("42", "false")
    ours = {k: v for k, v in run.data.tags.items() if k.startswith(("snn_", "mlflow.parent"))}
    assert ours == {
        "mlflow.parentRunId": "parent",
        "snn_sweep.role": "trial",
        "snn_sweep.trial_key": "k" * 16,
        "snn_sweep.version": version("snn-norm"),
        "snn_sweep.outcome": "completed",
    }
    assert run.data.metrics["best_test_accuracy"] == 0.3
    assert run.data.metrics["best_epoch"] == 3
    client = connect(tracking_uri)
    assert points(client, run.info.run_id, "test_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_loss_that_is_not_a_number_is_recorded_as_such(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    recorder.record_epoch(1, {"train_loss": math.nan, "test_loss": math.inf}, {})
    recorder.end("diverged", {})
    recorder.finish()
    (run,) = runs_of(tracking_uri, experiment_id)
    (point,) = connect(tracking_uri).get_metric_history(run.info.run_id, "train_loss")
    assert math.isnan(point.value)
    assert run.data.tags["snn_sweep.outcome"] == "diverged"


def test_an_epoch_that_is_trained_again_is_recorded_once(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    first = make_recorder()
    record_epochs(first, 1, 2)
    first.close()
    second = make_recorder()
    second.record_epoch(2, {"test_accuracy": 0.999}, {})
    record_epochs(second, 3)
    second.end("completed", {})
    second.finish()

    (run,) = runs_of(tracking_uri, experiment_id)
    client = connect(tracking_uri)
    assert points(client, run.info.run_id, "test_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]


def test_a_server_that_is_away_holds_nothing_up_and_gets_everything_later(
    make_recorder: MakeRecorder, proxy: Proxy, tracking_uri: str, experiment_id: str
) -> None:
    proxy.down()
    recorder = make_recorder()
    assert recorder.waiting_since is None
    started, began = time.monotonic(), time.time()
    record_epochs(recorder, 1, 2)
    assert time.monotonic() - started < 1
    assert began - 0.01 < (recorder.waiting_since or 0) <= time.time()
    proxy.up()
    record_epochs(recorder, 3)
    recorder.end("completed", {})
    recorder.finish()
    assert recorder.waiting_since is None

    (run,) = runs_of(tracking_uri, experiment_id)
    client = connect(tracking_uri)
    assert points(client, run.info.run_id, "test_accuracy") == [(1, 0.1), (2, 0.2), (3, 0.3)]


@pytest.mark.parametrize("replies", [1, 2, 3, 4])
def test_a_lost_reply_leaves_nothing_double(
    replies: int,
    make_recorder: MakeRecorder,
    proxy: Proxy,
    tracking_uri: str,
    experiment_id: str,
) -> None:
    proxy.lose_replies(replies)  # of the run's creation, its params, …, whichever come first
    recorder = make_recorder()
    record_epochs(recorder, 1, 2)
    recorder.end("completed", {"best_test_accuracy": 0.2})
    recorder.finish()
    assert proxy.replies_left_to_lose == 0

    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.info.status == "FINISHED"
    client = connect(tracking_uri)
    assert points(client, run.info.run_id, "test_accuracy") == [(1, 0.1), (2, 0.2)]
    assert points(client, run.info.run_id, "best_test_accuracy") == [(0, 0.2)]


def test_an_end_that_nobody_takes_gives_up_in_time_and_keeps_the_records(
    make_recorder: MakeRecorder, proxy: Proxy, tracking_uri: str, experiment_id: str
) -> None:
    proxy.down()
    recorder = make_recorder(patience=0.5)
    record_epochs(recorder, 1)
    recorder.end("completed", {})
    with pytest.raises(TrackerAwayError, match=r"did not answer for 0 s|did not answer for 1 s"):
        recorder.finish()
    recorder.close()

    proxy.up()
    again = make_recorder()
    assert again.spool.ending is not None
    again.finish()
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.info.status == "FINISHED"
    assert run.data.tags["snn_sweep.outcome"] == "completed"


def test_a_failure_is_closed_with_its_reason(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    record_epochs(recorder, 1)
    recorder.fail("Traceback …\nValueError: a norm's own mistake")
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["snn_sweep.reason"].endswith("ValueError: a norm's own mistake")
    assert run.data.metrics["test_accuracy"] == 0.1


def test_what_mlflow_refuses_is_not_waited_for(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder(patience=600)
    record_epochs(recorder, 1)
    recorder.record_epoch(2, {"val//loss": 1.0}, {})
    with pytest.raises(RefusedError, match=r"MLflow refuses .*val//loss"):
        recorder.finish()
    with pytest.raises(RefusedError):
        record_epochs(recorder, 3)
    recorder.fail("why")
    assert recorder.spool.epochs == {1, 2}
    (run,) = runs_of(tracking_uri, experiment_id)
    assert (run.info.status, run.data.tags["snn_sweep.reason"]) == ("FAILED", "why")


def test_what_the_client_cannot_encode_is_not_waited_for(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder(patience=600)
    record_epochs(recorder, 1)
    recorder.record_epoch(2, {"loss of caf\udce9": 1.0}, {})
    with pytest.raises(RefusedError, match="surrogates not allowed"):
        recorder.finish()
    recorder.fail("caf\udce9")
    (run,) = runs_of(tracking_uri, experiment_id)
    assert (run.info.status, run.data.tags["snn_sweep.reason"]) == ("FAILED", "caf\\udce9")


def test_a_run_that_was_deleted_is_not_waited_for(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder(patience=600)
    record_epochs(recorder, 1)
    recorder.fail("a worker's end")
    (run,) = runs_of(tracking_uri, experiment_id)
    connect(tracking_uri).delete_run(run.info.run_id)
    with pytest.raises(RefusedError, match="active"):
        recorder.finish()


def test_a_very_long_reason_keeps_its_end(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    recorder.fail("x" * 50_000 + "ValueError: at the end")
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.data.tags["snn_sweep.reason"].endswith("ValueError: at the end")


def test_what_came_before_a_refused_record_arrives(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    record_epochs(recorder, 1)
    recorder.record_epoch(2, {"val//loss": 1.0}, {})
    with pytest.raises(RefusedError):
        recorder.finish()
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.data.params["seed"] == "42"
    assert run.data.metrics["test_accuracy"] == 0.1


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all requests that this process makes."""
    paths: list[str] = []
    request = requests.Session.request

    def noted(session: requests.Session, method: str, url: str, **rest: Any) -> requests.Response:
        paths.append(urlsplit(url).path.removeprefix("/api/2.0/mlflow/"))
        return request(session, method, url, **rest)

    monkeypatch.setattr(requests.Session, "request", noted)
    return paths


def test_a_short_trial_takes_three_requests(make_recorder: MakeRecorder, sent: list[str]) -> None:
    recorder = make_recorder()
    recorder.record_epoch(0, {"rate": 0.5}, {"snn_sweep.layers": "[]"})
    wait_until(lambda: recorder.spool.run_id is not None)
    record_epochs(recorder, 1, 2)
    recorder.end("completed", {"best_test_accuracy": 0.2})
    recorder.finish()
    assert sent == ["runs/create", "runs/log-batch", "runs/update"]


def test_epochs_are_sent_within_seconds_while_a_trial_runs(
    make_recorder: MakeRecorder,
    sent: list[str],
    tracking_uri: str,
    experiment_id: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trial_recorder, "_FIRST_WAIT", 0.5)
    recorder = make_recorder()
    record_epochs(recorder, 1, 2)
    wait_until(lambda: recorder.arrived == len(recorder.spool.entries))
    assert sent == ["runs/create", "runs/log-batch"]
    (run,) = runs_of(tracking_uri, experiment_id)
    assert (run.info.status, run.data.metrics["test_accuracy"]) == ("RUNNING", 0.2)


def test_batches_become_fewer_while_a_trial_runs(
    make_recorder: MakeRecorder, sent: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trial_recorder, "_FIRST_WAIT", 0.1)
    monkeypatch.setattr(trial_recorder, "_LONGEST_WAIT", 0.8)
    recorder, began = make_recorder(), time.monotonic()
    for epoch in range(1, 101):
        record_epochs(recorder, epoch)
        time.sleep(0.02)
    waits = 3 + (time.monotonic() - began) / 0.8  # of 0.1, 0.2 and 0.4 s, then of 0.8 s
    assert 2 <= sent.count("runs/log-batch") <= waits


def test_a_trial_that_dies_before_its_first_batch_keeps_its_parameters(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str, tmp_path: Path
) -> None:
    recorder = make_recorder()
    wait_until(lambda: recorder.spool.run_id is not None)
    recorder.close()
    client = connect(tracking_uri)
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.data.params == {}
    deliver(client, run.info.run_id, read_spool(open_storage(str(tmp_path))))
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.data.params.keys() == TRIAL.config.given().keys()


def test_a_resumed_run_says_that_it_was(
    make_recorder: MakeRecorder, tracking_uri: str, experiment_id: str
) -> None:
    recorder = make_recorder()
    recorder.fail("a worker's end")
    recorder.close()
    again = make_recorder()
    record_epochs(again, 1)
    again.end("completed", {})
    again.finish()
    (run,) = runs_of(tracking_uri, experiment_id)
    assert run.info.status == "FINISHED"
    assert "a worker's end" not in run.data.tags["snn_sweep.reason"]
