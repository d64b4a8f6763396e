"""Stores, fetches and removes the trained model among the artifacts of a trial's run.

The folder ``model`` holds ``model.safetensors``, the model itself, and ``config.json``, the content
of its header. For a network of this package it also holds ``MLmodel``, which makes it one of
MLflow's models (flavour ``python_function``), loaded by ``snn_norm.pyfunc``. Nothing is pickled.
"""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import RunInfo
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import Schema, TensorSpec

from orchestration.record.client import is_refusal
from orchestration.record.kept_model import MODEL_FOLDER
from orchestration.record.trial_recorder import TrackerAwayError
from services.settings import without_password

if TYPE_CHECKING:  # it loads torch, which fetching and removing models does not need
    from snn_norm.training.models.saved_model import Description

_MLMODEL_FILE = "MLmodel"

_SETTINGS = {
    # In seconds. The server may have to pass a large file on before it answers.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "120",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # Files go through the server, as its clients may be unable to reach the store behind it.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}


class ArtifactStoreError(TrackerAwayError):
    """The artifact store did not accept a model: it may be full or unreachable."""


def put_model(client: MlflowClient, run: RunInfo, data: bytes) -> None:
    """Store a model as artifacts of its run. May be repeated: the files replace those of before.

    Args:
        client: MLflow's client.
        run: the trial's run.
        data: the model's file, as ``snn_norm.training.models.model_file`` writes it.

    Raises:
        ArtifactStoreError: the store does not accept the model at the moment.
        MlflowException: the tracking server refuses it, or does not answer.
    """
    from snn_norm.training.models.model_file import (
        CONFIG_FILE,
        WEIGHTS_FILE,
        header_of,
        is_of_own_training,
    )
    from snn_norm.training.models.saved_model import description_in

    header = header_of(data)
    store = get_artifact_repository(run.artifact_uri, tracking_uri=client.tracking_uri)
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch, file_transfers():
        folder = Path(scratch)
        (folder / WEIGHTS_FILE).write_bytes(data)
        (folder / CONFIG_FILE).write_text(json.dumps(header, indent=2) + "\n", encoding="utf-8")
        names = [WEIGHTS_FILE, CONFIG_FILE]
        if not is_of_own_training(header):
            # This file comes last, because MLflow treats a folder that has it as a model.
            names.append(_MLMODEL_FILE)
            _mlflow_model(description_in(data), run.run_id).save(str(folder / _MLMODEL_FILE))
        try:
            for name in names:
                store.log_artifact(str(folder / name), MODEL_FOLDER)
        except (MlflowException, OSError) as error:
            if is_refusal(error):
                raise
            server = without_password(client.tracking_uri)
            raise ArtifactStoreError(
                f"the artifact store {run.artifact_uri} of the tracking server {server} did not "
                f"take the model: {error}"
            ) from error


def fetch_model(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Download the model of a run into a folder, which must exist.

    Raises:
        MlflowException, OSError: the run has no model, or it cannot be downloaded.
    """
    with tempfile.TemporaryDirectory(prefix=".model-", dir=folder) as scratch, file_transfers():
        fetched = Path(client.download_artifacts(run_id, MODEL_FOLDER, scratch))
        for file in fetched.iterdir():
            file.replace(folder / file.name)


def has_model(client: MlflowClient, run: RunInfo) -> bool:
    """Whether a run has a model among its artifacts."""
    return _repository_with_model(client, run) is not None


def copy_model(client: MlflowClient, source: str, target: str) -> bool:
    """Copy the model of one run to another; returns whether there was one."""
    if not has_model(client, client.get_run(source).info):
        return False
    from snn_norm.training.models.model_file import WEIGHTS_FILE

    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch:
        fetch_model(client, source, Path(scratch))
        data = (Path(scratch) / WEIGHTS_FILE).read_bytes()
        put_model(client, client.get_run(target).info, data)
    return True


def remove_model(client: MlflowClient, run_id: str) -> None:
    """Remove the model of a run, if it has one."""
    run = client.get_run(run_id).info
    if (repository := _repository_with_model(client, run)) is not None:
        repository.delete_artifacts(MODEL_FOLDER)


def _repository_with_model(client: MlflowClient, run: RunInfo) -> ArtifactRepository | None:
    """The repository of a run's artifacts; None if no model is among them."""
    repository = get_artifact_repository(run.artifact_uri, tracking_uri=client.tracking_uri)
    return repository if repository.list_artifacts(MODEL_FOLDER) else None


def _mlflow_model(description: Description, run_id: str) -> Model:
    sample = description.sample_shape
    signature = ModelSignature(
        inputs=Schema([TensorSpec(np.dtype(np.uint8), (-1, *sample))]),
        outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, description.num_classes))]),
    )
    model = Model(artifact_path=MODEL_FOLDER, run_id=run_id, signature=signature)
    model.add_flavor(
        "python_function",
        loader_module="snn_norm.pyfunc",
        # MLflow passes on only those of a caller's keys that are listed here.
        config={"own_code": []},
        python_version=platform.python_version(),
    )
    return model


@contextmanager
def file_transfers() -> Iterator[None]:
    """Set MLflow's settings for transfers of files."""
    before = {name: os.environ.get(name) for name in _SETTINGS}
    os.environ.update(_SETTINGS)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
