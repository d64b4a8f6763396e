"""Text that MLflow or its database cannot hold is changed before it is sent."""

from __future__ import annotations

import uuid

import pytest
from mlflow import MlflowClient
from mlflow.entities import Param, RunTag

from orchestration.record.client import connect, sendable
from orchestration.record.names import LONGEST_TAG
from orchestration.record.trial_recorder import close_run

UNSENDABLE = "caf\udce9 \0é.png"
SENT = "caf\\udce9 é.png"


@pytest.mark.parametrize("text", ["", "a\nb", "é – 😀", "\\udce9"])
def test_other_text_is_sent_as_it_is(text: str) -> None:
    assert sendable(text) == text


@pytest.fixture(params=["over HTTP", "on Postgres"])
def client(request: pytest.FixtureRequest) -> MlflowClient:
    if request.param == "over HTTP":
        return connect(request.getfixturevalue("tracking_uri"))
    return connect(request.getfixturevalue("postgres_database")())


def test_every_text_of_a_run_arrives(client: MlflowClient) -> None:
    experiment = client.create_experiment(f"sendable {uuid.uuid4()}")
    run_id = client.create_run(
        experiment, tags={"first": UNSENDABLE}, run_name=UNSENDABLE
    ).info.run_id
    client.set_tag(run_id, "second", UNSENDABLE)
    client.log_batch(run_id, params=[Param("p", UNSENDABLE)], tags=[RunTag("third", UNSENDABLE)])
    run = client.get_run(run_id)
    assert run.info.run_name == SENT
    assert run.data.params == {"p": SENT}
    assert [run.data.tags[name] for name in ("first", "second", "third")] == [SENT] * 3


def test_a_very_long_reason_keeps_its_end_though_escaping_makes_it_longer(
    client: MlflowClient,
) -> None:
    experiment = client.create_experiment(f"sendable {uuid.uuid4()}")
    run_id = client.create_run(experiment).info.run_id
    close_run(client, run_id, "FAILED", "\udce9" * LONGEST_TAG + "ValueError: at the end")
    reason = client.get_run(run_id).data.tags["snn_sweep.reason"]
    assert len(reason) == LONGEST_TAG
    assert reason.endswith("\\udce9ValueError: at the end")
