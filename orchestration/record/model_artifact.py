"""A trained model among the artifacts of its trial's run: put there, fetched, removed.

The folder ``model`` holds ``model.safetensors``, the model itself; ``config.json``, what its header
says; and of a network of this package ``MLmodel``, which makes it one of MLflow's models (flavour
``python_function``), loaded by ``snn_norm.pyfunc``. Nothing in it is pickled.
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
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import Schema, TensorSpec

from orchestration.record.client import is_refusal
from orchestration.record.kept_model import MODEL_FOLDER
from orchestration.record.trial_recorder import TrackerAwayError
from services.settings import without_password

if TYPE_CHECKING:  # it loads torch, for which who fetches or removes a model does not wait
    from snn_norm.training.models.saved_model import Description

_MLMODEL_FILE = "MLmodel"

_SETTINGS = {
    # Seconds until the server answers: it may have to hand a large file on before it does.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "120",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # All of it through the server: who may ask that need not be able to reach a store behind it.
    "MLFLOW_ENABLE_PROXY_MULTIPART_DOWNLOAD": "false",
    "MLFLOW_ENABLE_PROXY_MULTIPART_UPLOAD": "false",
}


class ArtifactStoreError(TrackerAwayError):
    """The artifact store did not take a model: it may be full, or cannot be reached."""


def put_model(client: MlflowClient, run_id: str, data: bytes) -> None:
    """Put a model beside its run. May be repeated: the same files take the place of the first.

    Args:
        client: MLflow's client.
        run_id: of the trial.
        data: of ``snn_norm.training.models.model_file``.

    Raises:
        ArtifactStoreError: the store does not take it for now.
        MlflowException: the tracking server refuses it, or does not answer.
    """
    from snn_norm.training.models.model_file import (
        CONFIG_FILE,
        WEIGHTS_FILE,
        is_of_own_training,
        said_in,
    )
    from snn_norm.training.models.saved_model import description_in

    said = said_in(data)
    store = client.get_run(run_id).info.artifact_uri
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch, _settings():
        folder = Path(scratch)
        (folder / WEIGHTS_FILE).write_bytes(data)
        (folder / CONFIG_FILE).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")
        names = [WEIGHTS_FILE, CONFIG_FILE]
        if not is_of_own_training(said):
            # MLflow takes for a model what has this file, which therefore comes last.
            names.append(_MLMODEL_FILE)
            _mlflow_model(description_in(data), run_id).save(str(folder / _MLMODEL_FILE))
        try:
            for name in names:
                client.log_artifact(run_id, str(folder / name), MODEL_FOLDER)
        except (MlflowException, OSError) as error:
            if is_refusal(error):
                raise
            server = without_password(client.tracking_uri)
            raise ArtifactStoreError(
                f"the artifact store {store} of the tracking server {server} did not take the "
                f"model: {error}"
            ) from error


def fetch_model(client: MlflowClient, run_id: str, folder: Path) -> None:
    """Copy the model of a run into a folder, which must be there.

    Raises:
        MlflowException, OSError: it is not there, or cannot be fetched.
    """
    with tempfile.TemporaryDirectory(prefix=".model-", dir=folder) as scratch, _settings():
        fetched = Path(client.download_artifacts(run_id, MODEL_FOLDER, scratch))
        for file in fetched.iterdir():
            file.replace(folder / file.name)


def has_model(client: MlflowClient, run_id: str) -> bool:
    """Whether a model lies beside a run."""
    return _holder_of(client, run_id) is not None


def copy_model(client: MlflowClient, source: str, target: str) -> bool:
    """Put the model of one run beside another; gives whether there was one."""
    if _holder_of(client, source) is None:
        return False
    from snn_norm.training.models.model_file import WEIGHTS_FILE

    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as scratch:
        fetch_model(client, source, Path(scratch))
        put_model(client, target, (Path(scratch) / WEIGHTS_FILE).read_bytes())
    return True


def remove_model(client: MlflowClient, run_id: str) -> None:
    """Remove the model of a run, if it has one."""
    if (repository := _holder_of(client, run_id)) is not None:
        repository.delete_artifacts(MODEL_FOLDER)


def _holder_of(client: MlflowClient, run_id: str) -> ArtifactRepository | None:
    """Where the artifacts of a run lie, if a model is among them."""
    uri = client.get_run(run_id).info.artifact_uri
    repository = get_artifact_repository(uri, tracking_uri=client.tracking_uri)
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
        config={
            "own_code": []
        },  # MLflow hands on only what a caller sets of the keys that are here
        python_version=platform.python_version(),
    )
    return model


@contextmanager
def _settings() -> Iterator[None]:
    """MLflow's settings while files are on their way."""
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
