"""A sweep's records over MLflow's REST API, with as few and as light requests as it allows.

Replies are taken as the JSON that they are, of which MLflow's client would make objects first.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import product
from typing import Any, NamedTuple

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from orchestration.reading.records import (
    ALL_METRICS,
    Records,
    SweepRun,
    is_wanted,
    make_records,
    point_frame,
)
from orchestration.record.client import MOST_EXPERIMENTS, runs_of_role, sweep_names
from orchestration.record.names import OUTCOME_TAG, REPLACED_ROLE, ROLE_TAG, TRIAL_KEY_TAG
from orchestration.record.unknown_sweep import unknown_sweep

_PARENT = f"tags.`{ROLE_TAG}` = 'sweep'"
_FINISHED = "attributes.status = 'FINISHED'"
_UNFINISHED = "attributes.status != 'FINISHED'"
_FINISHED_TRIAL = f"{_FINISHED} AND tags.`{ROLE_TAG}` = 'trial'"
# The one started first at first: one created meanwhile shifts no page.
_ORDER = ["attributes.start_time ASC"]
_SEARCH = "/api/2.0/mlflow/runs/search"
_HISTORIES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_RUNS_A_REQUEST = 100  # MLflow's limit

_Point = tuple[str, str, int, int, float]
"""Run id, metric, epoch, milliseconds since 1970, value."""


class _FoundRun(NamedTuple):
    run_id: str
    started: int | None
    finished: int | None
    status: str
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


class RestSource:
    """Reads a tracking server, or one of MLflow's own stores where no server runs.

    Args:
        tracking_uri: such as ``http://127.0.0.1:5000`` or ``sqlite:////home/me/mlflow.db``.
    """

    runs_a_page = 1000

    points_a_reply = 10_000
    """Points of a metric in one reply; MLflow's own limit is 25,000."""

    def __init__(self, tracking_uri: str) -> None:
        self.client = MlflowClient(tracking_uri)
        self._uri = tracking_uri
        self._bulk = tracking_uri.startswith(("http://", "https://"))
        self._page = self._over_http if self._bulk else self._in_store

    def sweep_runs(self, metrics: Collection[str] = ()) -> Iterator[SweepRun]:
        """Give the runs of all sweeps and their trials."""
        found = self.client.search_experiments(max_results=MOST_EXPERIMENTS)
        names = {experiment.experiment_id: experiment.name for experiment in found}
        for role in ("sweep", "trial"):
            for run in runs_of_role(self.client, list(names), role):
                info = run.info
                last = {
                    metric.key: (metric.step, metric.value)
                    for metric in (run.to_proto().data.metrics if metrics else ())
                    if metric.key in metrics and not math.isnan(metric.value)
                }
                found = run.data.tags, info.run_id, info.end_time, last
                yield SweepRun(names[info.experiment_id], info.status, info.start_time, *found)

    def check(self, sweep: str) -> None:
        """Raise InputError where there is no such sweep."""
        experiment = self._experiment(sweep)
        if not any(self._page(experiment, one, 1)[0] for one in (_PARENT, _FINISHED_TRIAL)):
            raise unknown_sweep(sweep, sweep_names(self.client))

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,
    ) -> Records:
        """Give a sweep's trials."""
        roles = ("trial", REPLACED_ROLE) if replaced else ("trial",)
        experiment = self._experiment(sweep)
        parents = list(self._runs(experiment, _PARENT))
        # Which are trials is looked up here: to ask for a tag makes every page slower. By run id,
        # of which a page that another run shifted repeats some.
        found = self._runs(experiment, _FINISHED if finished else _UNFINISHED)
        trials = {run.run_id: run for run in found if run.tags.get(ROLE_TAG) in roles}
        if not parents and not trials:
            raise unknown_sweep(sweep, sweep_names(self.client))
        return make_records(
            (
                (
                    run.run_id,
                    run.tags.get(TRIAL_KEY_TAG),
                    run.tags.get(OUTCOME_TAG),
                    run.started,
                    run.finished,
                    run.status,
                )
                for run in trials.values()
            ),
            (
                (run.run_id, name, value)
                for run in trials.values()
                for name, value in run.metrics.items()
                if is_wanted(name, metrics)
            ),
            [(run.started, run.run_id, run.tags) for run in parents],
            experiment_id=experiment,
            param_rows=lambda run_ids: (
                (run_id, *param) for run_id in run_ids for param in trials[run_id].params.items()
            ),
            tag_rows=lambda names: (
                (run.run_id, name, run.tags[name])
                for run in trials.values()
                for name in names
                if name in run.tags
            ),
        )

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Give these metrics of these runs by epoch, a request for many runs and one metric."""
        some = [
            run_ids[first : first + _RUNS_A_REQUEST]
            for first in range(0, len(run_ids), _RUNS_A_REQUEST)
        ]
        with ThreadPoolExecutor(max_workers=4) as pool:
            found = pool.map(lambda asked: self._histories(*asked), product(some, metrics))
            return point_frame(point for points in found for point in points)

    def _histories(self, run_ids: Sequence[str], metric: str) -> list[_Point]:
        """A metric of some runs, asked for as the server's own pages do where it has pages."""
        if len(run_ids) > 1 and self._bulk:
            found = self._bulk_history(run_ids, metric)
            if found is not None and len(found) < self.points_a_reply:
                return found
            if found is not None:  # it may have been cut short
                half = len(run_ids) // 2
                parts = run_ids[:half], run_ids[half:]
                return [point for part in parts for point in self._histories(part, metric)]
        return [
            (run_id, metric, point.step, point.timestamp, point.value)
            for run_id in run_ids
            for point in self.client.get_metric_history(run_id, metric)
        ]

    def _bulk_history(self, run_ids: Sequence[str], metric: str) -> list[_Point] | None:
        """None where the server does not know the request, which is no part of MLflow's API."""
        wanted = {"run_id": run_ids, "metric_key": metric, "max_results": self.points_a_reply}
        # A connection that is kept stays with one process of the server, and several may well stay
        # with the same; of new ones, an idle process takes each.
        headers = {"Connection": "close"}
        reply = self._ask(_HISTORIES, "GET", params=wanted, extra_headers=headers)
        if reply is None:
            self._bulk = False
            return None
        return [
            (point["run_id"], metric, point["step"], point["timestamp"], float(point["value"]))
            for point in reply["metrics"]
        ]

    def _experiment(self, sweep: str) -> str:
        experiment = self.client.get_experiment_by_name(sweep)
        if experiment is None or experiment.lifecycle_stage != "active":
            raise unknown_sweep(sweep, sweep_names(self.client))
        return str(experiment.experiment_id)

    def _runs(self, experiment: str, condition: str) -> Iterator[_FoundRun]:
        token = None
        while True:
            runs, token = self._page(experiment, condition, self.runs_a_page, token)
            yield from runs
            if not token:
                return

    def _over_http(
        self, experiment: str, condition: str, most: int, token: str | None = None
    ) -> tuple[list[_FoundRun], str | None]:
        body = {
            "experiment_ids": [experiment],
            "filter": condition,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": most,
            "order_by": _ORDER,
            "page_token": token,
        }
        reply = self._ask(_SEARCH, "POST", json=body) or {}
        return [_of_json(run) for run in reply.get("runs", ())], reply.get("next_page_token")

    def _in_store(
        self, experiment: str, condition: str, most: int, token: str | None = None
    ) -> tuple[list[_FoundRun], str | None]:
        page = self.client.search_runs(
            [experiment], condition, ViewType.ACTIVE_ONLY, most, _ORDER, token
        )
        return [_of_entity(run) for run in page], page.token

    def _ask(self, path: str, method: str, **arguments: Any) -> dict[str, Any] | None:
        """The reply; None where the server has no such path."""
        response = http_request(get_default_host_creds(self._uri), path, method, **arguments)
        if response.status_code == HTTPStatus.NOT_FOUND and path == _HISTORIES:
            return None
        if response.status_code != HTTPStatus.OK:
            verify_rest_response(response, path)  # raises MLflow's error for it
        reply: dict[str, Any] = response.json()
        return reply


def _of_json(run: dict[str, Any]) -> _FoundRun:
    info, data = run["info"], run.get("data", {})
    tags, params, metrics = (
        {pair["key"]: pair.get("value", "") for pair in data.get(kind, ())}
        for kind in ("tags", "params", "metrics")
    )
    return _FoundRun(
        info["run_id"],
        int(info["start_time"]) if "start_time" in info else None,
        int(info["end_time"]) if "end_time" in info else None,
        info.get("status", ""),
        tags,
        params,
        {name: float(value) for name, value in metrics.items()},
    )


def _of_entity(run: Run) -> _FoundRun:
    info, data = run.info, run.data
    found = info.run_id, info.start_time, info.end_time, info.status
    return _FoundRun(*found, data.tags, data.params, data.metrics)
