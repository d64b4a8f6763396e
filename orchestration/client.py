"""MLflow's client, set up so that a server which is away is noticed soon and asked again."""

from __future__ import annotations

import os

from mlflow import MlflowClient

__all__ = ["connect"]

# MLflow's own defaults hold a call for minutes: 120 s for an answer, 7 retries 4 to 120 s apart.
# Whoever must not lose a record (the recorder) tries again by itself.
_SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a run, among our own output
}


def connect(tracking_uri: str) -> MlflowClient:
    """A client of the tracking server; the user's own MLflow settings take precedence."""
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    return MlflowClient(tracking_uri)
