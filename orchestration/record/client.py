"""MLflow's client, set up so that a server which is away is noticed soon and asked again."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestration.record.names import NAME_TAG, ROLE_TAG
from orchestration.record.sendable import SendableTextClient

MOST_EXPERIMENTS = 10_000
"""So many are looked through."""

_SETTINGS = {
    # MLflow's client sends a request again whose reply was lost, run creation among them, which
    # makes a ghost run. Whoever calls it here looks first and then tries again.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",  # seconds, not 120
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",  # two lines a run, among our own output
}

# Not BAD_REQUEST: so MLflow also calls trouble with its database, and what a proxy before it says.
_REFUSALS = {"INVALID_PARAMETER_VALUE", "PERMISSION_DENIED", "RESOURCE_DOES_NOT_EXIST"}


def connect(tracking_uri: str) -> MlflowClient:
    """A client of the tracking server that makes each request once, with text that can be sent."""
    os.environ.update(_SETTINGS)
    return SendableTextClient(tracking_uri)


def is_refusal(error: Exception) -> bool:
    """Whether the same request would fail in the same way for ever.

    A ``UnicodeEncodeError`` says that the client itself could not encode the request.
    """
    if isinstance(error, MlflowException):
        return error.error_code in _REFUSALS
    return isinstance(error, UnicodeEncodeError)


def runs_of_role(client: MlflowClient, experiment_ids: Sequence[str], role: str) -> Iterator[Run]:
    """The runs of experiments that are a sweep's or a trial's, the earliest started first."""
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
    """The names of all sweeps, which are their experiments', with those they were recorded under.

    The two differ where an experiment was renamed in MLflow.
    """
    experiments = client.search_experiments(max_results=MOST_EXPERIMENTS)
    names = {experiment.experiment_id: experiment.name for experiment in experiments}
    found = {}
    for run in runs_of_role(client, list(names), "sweep"):
        name = names[run.info.experiment_id]
        found[name] = run.data.tags.get(NAME_TAG, name)
    return found
