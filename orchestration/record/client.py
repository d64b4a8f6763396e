"""MLflow's client, set up so that an unreachable server is noticed soon, and its callers retry.

It makes all text fit for MLflow and its database.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag, ViewType
from mlflow.exceptions import MlflowException

from orchestration.record.names import LONGEST_TAG, NAME_TAG, ROLE_TAG, sendable

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


class SendableTextClient(MlflowClient):  # type: ignore[misc] # MLflow has no types for mypy
    """MLflow's client, which makes the text of parameters, tags and names sendable.

    A tag that is longer than MLflow's limit keeps its end, because the end of a traceback says what
    happened. MLflow itself would keep the beginning.
    """

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, str] | None = None,
        run_name: str | None = None,
    ) -> Run:
        """The same as in ``MlflowClient``."""
        return super().create_run(
            experiment_id,
            start_time,
            {key: _tag_text(text) for key, text in (tags or {}).items()},
            None if run_name is None else sendable(run_name),
        )

    def set_tag(self, run_id: str, key: str, value: str, synchronous: bool | None = None) -> Any:
        """The same as in ``MlflowClient``."""
        return super().set_tag(run_id, key, _tag_text(value), synchronous)

    def log_batch(
        self,
        run_id: str,
        metrics: Sequence[Metric] = (),
        params: Sequence[Param] = (),
        tags: Sequence[RunTag] = (),
        synchronous: bool | None = None,
    ) -> Any:
        """The same as in ``MlflowClient``."""
        return super().log_batch(
            run_id,
            metrics,
            [Param(param.key, sendable(param.value)) for param in params],
            [RunTag(tag.key, _tag_text(tag.value)) for tag in tags],
            synchronous,
        )


def _tag_text(text: str) -> str:
    return sendable(text)[-LONGEST_TAG:]


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


def runs_of_role(
    client: MlflowClient, experiment_ids: Sequence[str], role: str, status: str | None = None
) -> Iterator[Run]:
    """The runs with this role, ``sweep`` or ``trial``, the earliest started first.

    Args:
        status: MLflow's status of the runs; None for runs of any status.
    """
    condition = f"tags.`{ROLE_TAG}` = '{role}'"
    if status is not None:
        condition += f" AND attributes.status = '{status}'"
    return all_runs(client, experiment_ids, condition)


def all_runs(
    client: MlflowClient,
    experiment_ids: Sequence[str],
    condition: str = "",
    view: int = ViewType.ACTIVE_ONLY,
) -> Iterator[Run]:
    """All runs of experiments, page by page, the earliest started first.

    Args:
        condition: a filter of MLflow's; empty for every run.
        view: whether active runs are meant, deleted ones or both.
    """
    token: str | None = None
    while experiment_ids:
        page = client.search_runs(
            list(experiment_ids),
            condition,
            view,
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
