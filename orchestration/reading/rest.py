"""Reads a sweep's records over MLflow's REST API, with as few and as small requests as possible.

Replies are read as JSON: turning them into objects, as MLflow's client does, is slower.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from http import HTTPStatus
from itertools import product
from typing import Any

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request, verify_rest_response

from orchestration.reading.records import (
    ALL_METRICS,
    MetricsToRead,
    MlflowRun,
    Records,
    point_frame,
    records_of_runs,
)
from orchestration.record.client import MOST_EXPERIMENTS, runs_of_role, sweep_names
from orchestration.record.curves_file import CurvePoint, archived_points
from orchestration.record.names import REPLACED_ROLE, ROLE_TAG
from orchestration.record.unknown_sweep import unknown_sweep

_PARENT = f"tags.`{ROLE_TAG}` = 'sweep'"
_FINISHED = "attributes.status = 'FINISHED'"
_UNFINISHED = "attributes.status != 'FINISHED'"
_FINISHED_TRIAL = f"{_FINISHED} AND tags.`{ROLE_TAG}` = 'trial'"
# Oldest first, so that a run that is created between requests does not shift the pages.
_ORDER = ["attributes.start_time ASC"]
_SEARCH = "/api/2.0/mlflow/runs/search"
_HISTORIES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_RUNS_A_REQUEST = 100  # MLflow's limit


class RestSource:
    """Reads a tracking server, or one of MLflow's own stores if no server runs.

    Args:
        tracking_uri: such as ``http://127.0.0.1:5000`` or ``sqlite:////home/me/mlflow.db``.
    """

    runs_a_page = 1000

    points_a_reply = 10_000
    """The most points of a metric in one reply; MLflow's own limit is 25,000."""

    def __init__(self, tracking_uri: str) -> None:
        self.client = MlflowClient(tracking_uri)
        self._uri = tracking_uri
        self._bulk = tracking_uri.startswith(("http://", "https://"))
        self._page = self._over_http if self._bulk else self._in_store

    def sweep_runs(
        self, metrics: MetricsToRead, sweeps: Collection[str] | None = None
    ) -> Iterator[MlflowRun]:
        """Return the runs of these sweeps or of all, and their trials."""
        experiments = self.client.search_experiments(max_results=MOST_EXPERIMENTS)
        names = {
            one.experiment_id: one.name
            for one in experiments
            if sweeps is None or one.name in sweeps
        }
        wanted: set[str] = set()
        for parent in runs_of_role(self.client, list(names), "sweep"):
            run = _of_entity(parent)._replace(experiment=names[parent.info.experiment_id])
            wanted.update(metrics(run))
            yield run
        for trial in runs_of_role(self.client, list(names), "trial"):
            last = {
                metric.key: (metric.step, metric.value)
                for metric in trial.data._metric_objs  # the public ones lack their epochs
                if metric.key in wanted and not math.isnan(metric.value)
            }
            name = names[trial.info.experiment_id]
            yield _of_entity(trial)._replace(experiment=name, metrics=last)

    def check(self, sweep: str) -> None:
        """Raise InputError if there is no such sweep."""
        experiment = self._experiment(sweep)
        conditions = (_PARENT, _FINISHED_TRIAL)
        if not any(self._page(experiment, condition, 1)[0] for condition in conditions):
            raise unknown_sweep(sweep, sweep_names(self.client))

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,
    ) -> Records:
        """Return a sweep's trials."""
        roles = ("trial", REPLACED_ROLE) if replaced else ("trial",)
        experiment = self._experiment(sweep)
        parents = list(self._runs(experiment, _PARENT))
        # Roles are checked here, as a condition on a tag makes every page slower. Two pages share
        # a run if a new one has shifted the second page.
        runs = self._runs(experiment, _FINISHED if finished else _UNFINISHED)
        trials = [run for run in runs if run.tags.get(ROLE_TAG) in roles]
        if not parents and not trials:
            raise unknown_sweep(sweep, sweep_names(self.client))
        return records_of_runs(trials, metrics, parents, experiment)

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Return metrics of these runs by epoch, with one request per metric and 100 runs."""
        batches = [
            run_ids[first : first + _RUNS_A_REQUEST]
            for first in range(0, len(run_ids), _RUNS_A_REQUEST)
        ]
        with ThreadPoolExecutor(max_workers=4) as pool:
            requests = product(batches, metrics)
            histories = pool.map(lambda request: self._histories(*request), requests)
            rows = [point for points in histories for point in points]
        if run_ids and metrics:
            experiment = self.client.get_run(run_ids[0]).info.experiment_id
            rows += archived_points(self.client, experiment, run_ids, metrics)
        return point_frame(rows)

    def _histories(self, run_ids: Sequence[str], metric: str) -> list[CurvePoint]:
        """A metric of some runs, with the request of the server's own pages if it has pages."""
        if len(run_ids) > 1 and self._bulk:
            points = self._bulk_history(run_ids, metric)
            if points is not None and len(points) < self.points_a_reply:
                return points
            if points is not None:  # the reply may have been cut off
                half = len(run_ids) // 2
                parts = run_ids[:half], run_ids[half:]
                return [point for part in parts for point in self._histories(part, metric)]
        return [
            (run_id, metric, point.step, point.timestamp, point.value)
            for run_id in run_ids
            for point in self.client.get_metric_history(run_id, metric)
        ]

    def _bulk_history(self, run_ids: Sequence[str], metric: str) -> list[CurvePoint] | None:
        """None if the server does not know the request, which is not part of MLflow's API."""
        wanted = {"run_id": run_ids, "metric_key": metric, "max_results": self.points_a_reply}
        # A connection that is kept open stays with one process of the server, and several may share
        # a process. A new connection goes to an idle process.
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

    def _runs(self, experiment: str, condition: str) -> Iterator[MlflowRun]:
        token = None
        while True:
            runs, token = self._page(experiment, condition, self.runs_a_page, token)
            yield from runs
            if not token:
                return

    def _over_http(
        self, experiment: str, condition: str, most: int, token: str | None = None
    ) -> tuple[list[MlflowRun], str | None]:
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
    ) -> tuple[list[MlflowRun], str | None]:
        page = self.client.search_runs(
            [experiment], condition, ViewType.ACTIVE_ONLY, most, _ORDER, token
        )
        return [_of_entity(run) for run in page], page.token

    def _ask(self, path: str, method: str, **arguments: Any) -> dict[str, Any] | None:
        """The reply; None if the server does not have the path of histories."""
        response = http_request(get_default_host_creds(self._uri), path, method, **arguments)
        if response.status_code == HTTPStatus.NOT_FOUND and path == _HISTORIES:
            return None
        if response.status_code != HTTPStatus.OK:
            verify_rest_response(response, path)  # raises MLflow's error
        reply: dict[str, Any] = response.json()
        return reply


def _of_json(run: dict[str, Any]) -> MlflowRun:
    info, data = run["info"], run.get("data", {})
    tags, params = (
        {pair["key"]: pair.get("value", "") for pair in data.get(kind, ())}
        for kind in ("tags", "params")
    )
    metrics = data.get("metrics", ())
    return MlflowRun(
        info["run_id"],
        info.get("status", ""),
        int(info["start_time"]) if "start_time" in info else None,
        int(info["end_time"]) if "end_time" in info else None,
        tags,
        params=params,
        metrics={
            metric["key"]: (int(metric.get("step", 0)), float(metric["value"]))
            for metric in metrics
        },
    )


def _of_entity(run: Run) -> MlflowRun:
    info, data = run.info, run.data
    return MlflowRun(
        info.run_id,
        info.status,
        info.start_time,
        info.end_time,
        data.tags,
        params=data.params,
        metrics={name: (0, value) for name, value in data.metrics.items()},
    )
