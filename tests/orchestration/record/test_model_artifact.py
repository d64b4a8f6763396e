"""A model beside its run, on a real server: whole, once, and one of MLflow's models too."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from urllib.parse import urlsplit

import mlflow
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.entities import RunInfo
from proxy import Proxy
from s3_server import BUCKET

from orchestration.model.trial import Trial
from orchestration.record.client import connect
from orchestration.record.model_artifact import copy_model, fetch_model, put_model, remove_model
from orchestration.record.spool import Spool
from orchestration.record.trial_recorder import TrialRecorder
from orchestration.store.open import open_storage
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

FILES = ["MLmodel", "config.json", "model.safetensors"]


@pytest.fixture(scope="module")
def run() -> TrainingRun:
    keys = {"architecture": "ann", "norm": "batchnorm", "dataset": "digits", "seed": 1}
    config = RunConfig(**keys, epochs=1, width=1, image_size=8)
    run = TrainingRun(config, load_dataset("digits", Path(), 8))
    run.run_epoch()
    return run


@pytest.fixture
def client(tracking_uri: str) -> MlflowClient:
    return connect(tracking_uri)


@pytest.fixture(params=["the server", "a folder", "s3"])
def run_id(client: MlflowClient, request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A run whose artifacts lie with each kind of store."""
    place = None
    if request.param == "a folder":
        place = (tmp_path / "artifacts é").as_uri()
    elif request.param == "s3":
        request.getfixturevalue("s3")
        place = f"s3://{BUCKET}/{uuid.uuid4()}"
    experiment = client.create_experiment(f"model {uuid.uuid4()}", place)
    return str(client.create_run(experiment).info.run_id)


def files(client: MlflowClient, run_id: str) -> list[str]:
    return [Path(one.path).name for one in client.list_artifacts(run_id, "model")]


def test_it_is_put_fetched_and_removed(
    client: MlflowClient, run_id: str, run: TrainingRun, tmp_path: Path
) -> None:
    data = run.saved()
    put_model(client, client.get_run(run_id).info, data)
    put_model(client, client.get_run(run_id).info, data)
    assert files(client, run_id) == FILES
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    fetch_model(client, run_id, fetched)
    assert sorted(path.name for path in fetched.iterdir()) == FILES
    assert (fetched / "model.safetensors").read_bytes() == data
    copy = client.create_run(client.get_run(run_id).info.experiment_id).info.run_id
    assert copy_model(client, run_id, copy)
    assert files(client, copy) == FILES
    assert not copy_model(client, client.create_run("0").info.run_id, copy)
    client.log_text(run_id, "stays", "other.txt")
    remove_model(client, run_id)
    remove_model(client, run_id)
    assert files(client, run_id) == []
    assert [one.path for one in client.list_artifacts(run_id)] == ["other.txt"]


@pytest.mark.parametrize("run_id", ["the server"], indirect=True)
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # of MLflow's own types
def test_mlflow_takes_it_for_one_of_its_models(
    client: MlflowClient,
    run_id: str,
    run: TrainingRun,
    tracking_uri: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    put_model(client, client.get_run(run_id).info, run.saved())
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setattr(mlflow.tracking._tracking_service.utils, "_tracking_uri", None)
    loaded = mlflow.pyfunc.load_model(f"runs:/{run_id}/model")
    images = run.dataset.test_images
    labels = loaded.predict(images.numpy()).argmax(1)
    accuracy = np.mean(labels == run.dataset.test_labels.numpy())
    assert accuracy == pytest.approx(run.history[-1].test_accuracy)
    with pytest.raises(mlflow.MlflowException, match="Failed to enforce schema"):
        loaded.predict(images.float().numpy())


@pytest.mark.parametrize("run_id", ["the server"], indirect=True)
@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")
def test_mlflow_hands_on_the_names_of_ones_own_code(
    client: MlflowClient, run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "norm_of_artifact.py").write_text(
        "import torch\nclass Norm(torch.nn.BatchNorm2d):\n    pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "norm_of_artifact:Norm"
    config = RunConfig(
        architecture="ann", norm=name, dataset="digits", seed=1, epochs=1, width=2, image_size=8
    )
    run = TrainingRun(config, load_dataset("digits", tmp_path, 8))
    run.run_epoch()
    put_model(client, client.get_run(run_id).info, run.saved())
    (tmp_path / "model").mkdir()
    fetch_model(client, run_id, tmp_path / "model")
    with pytest.raises(ValueError, match=f"norm '{name}' cannot be loaded"):
        mlflow.pyfunc.load_model(str(tmp_path / "model"))
    mlflow.pyfunc.load_model(str(tmp_path / "model"), model_config={"own_code": [name]})
    monkeypatch.setenv("MLFLOW_PYFUNC_INFERENCE_CONFIG", json.dumps({"own_code": [name]}))
    mlflow.pyfunc.load_model(str(tmp_path / "model"))


def test_a_run_has_finished_only_once_its_model_is_there(
    tracking_uri: str, client: MlflowClient, run: TrainingRun, tmp_path: Path
) -> None:
    """The server goes away in the middle of its files."""
    port = urlsplit(tracking_uri).port
    assert port is not None
    experiment = str(client.create_experiment(f"finished {uuid.uuid4()}"))
    trial = Trial(run.config, "k" * 16, "ann")
    with Proxy(port) as proxy:
        through = connect(f"http://127.0.0.1:{proxy.port}")
        spool = Spool(open_storage(str(tmp_path)))
        recorder = TrialRecorder(through, trial, experiment, "parent", spool, 60.0)
        attempts: list[str] = []

        def put(client: MlflowClient, closing: RunInfo) -> None:
            attempts.append(client.get_run(closing.run_id).info.status)
            if len(attempts) == 1:
                proxy.lose_replies(2)
            put_model(client, closing, run.saved())

        recorder.record_epoch(1, {"test_accuracy": 0.5}, {})
        recorder.end("completed", {}, {"snn_sweep.model": "{}"})
        recorder.finish(put)
        recorder.close()
        assert proxy.replies_left_to_lose == 0
    assert len(attempts) > 1
    assert set(attempts) == {"RUNNING"}
    (found,) = client.search_runs([experiment])
    assert (found.info.status, found.data.tags["snn_sweep.model"]) == ("FINISHED", "{}")
    assert files(client, found.info.run_id) == FILES
