"""MLflow's client, set up so that an unreachable server is noticed soon, and its callers retry."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestration.record.names import NAME_TAG, ROLE_TAG
from orchestration.record.sendable import SendableTextClient

MOST_EXPERIMENTS = 10_000
"""The most experiments of a server that are searched."""

_SETTINGS = {
    # MLflow's client repeats a request when its reply was lost. Repeating the creation of a run
    # would create a second run, so callers here check what exists before they retry.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds, not 120
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines for each run
}

# BAD_REQUEST is no refusal: MLflow also uses it for trouble with its database or a proxy.
_REFUSALS = {"INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"}


def connect(tracking_uri: str) -> MlflowClient:
    """A client of the tracking server that makes each request once, and makes text sendable."""
    os.environ.update(_SETTINGS)
    return SendableTextClient(tracking_uri)


def is_refusal(error: Exception) -> bool:
    """Whether the same request would fail every time.

    A ``UnicodeEncodeError`` means that the client itself could not encode the request.
    """
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return isinstance(error, UnicodeEncodeError)


def runs_of_role(client: MlflowClient, experiment_ids: Sequence[str], role: str) -> Iterator[Run]:
    """The runs with this role, ``sweep`` or ``trial``, the earliest started first."""
    if not experiment_ids:
        return
    token: str | None = None
    while True:
        page = client.search_runs(
            list(experiment_ids),
            f"tags.`{ROLE_TAG}` = '{role}'",
            max_results=1000,
            order_by=["attributes.start_time ASC"],
            page_token=token,
        )
        yield from page
        token = page.token
        if not token:
            return


def sweep_names(client: MlflowClient) -> dict[str, str]:
    """The current names of all sweeps, each with the name under which it was recorded.

    The two differ if the experiment was renamed in MLflow.
    """
    experiments = client.search_experiments(max_results=MOST_EXPERIMENTS)
    names = {experiment.experiment_id: experiment.name for experiment in experiments}
    recorded = {}
    for run in runs_of_role(client, list(names), "sweep"):
        name = names[run.info.experiment_id]
        recorded[name] = run.data.tags.get(NAME_TAG, name)
    return recorded
