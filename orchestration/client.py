"""MLflow's client, set up so that a server which is away is noticed soon and asked again."""

from __future__ import annotations

import os

from mlflow import MlflowClient

__all__ = ["connect"]

_SETTINGS = {
    # MLflow's client sends a request again whose reply was lost, run creation among them, which
    # makes a ghost run. Whoever calls it here looks first and then tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds, not 120
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a run, among our own output
}


def connect(tracking_uri: str) -> MlflowClient:
    """A client of the tracking server that makes each request once."""
    os.environ.update(_SETTINGS)
    return MlflowClient(tracking_uri)
