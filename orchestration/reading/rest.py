"""A sweep's records over MLflow's REST API, with as few and as light requests as it allows.

MLflow's server takes most of the time, and answers a request in one process. So a long sweep is
read from both ends, by two requests at a time until they meet; and the replies are taken as the
JSON that they are, of which MLflow's client would make objects first.
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
    is_wanted,
    make_records,
    newest_spec,
    point_frame,
    unknown_sweep,
)
from orchestration.record.names import OUTCOME_TAG, ROLE_TAG, TRIAL_KEY_TAG

__all__ = ["RestSource"]

_PARENT = f"tags.`{ROLE_TAG}` = 'sweep'"
_FINISHED = "attributes.status = 'FINISHED'"
_FINISHED_TRIAL = f"{_FINISHED} AND tags.`{ROLE_TAG}` = 'trial'"
_SEARCH = "/api/2.0/mlflow/runs/search"
_HISTORIES = "/ajax-api/2.0/mlflow/metrics/get-history-bulk"
_RUNS_A_REQUEST = 100  # MLflow's limit

_Point = tuple[str, str, int, int, float]
"""Run id, metric, epoch, milliseconds since 1970, value."""


class _FoundRun(NamedTuple):
    run_id: str
    experiment_id: str
    started: int | None
    finished: int | None
    tags: dict[str, str]
    params: dict[str, str]
    metrics: dict[str, float]


class _Page(NamedTuple):
    runs: list[_FoundRun]
    token: str | None
    """Asks for the next page; None after the last."""


class RestSource:
    """Reads a tracking server, or one of MLflow's own stores where no server runs.

    Args:
        tracking_uri: such as ``http://127.0.0.1:5000`` or ``sqlite:////home/me/mlflow.db``.
    """

    pages = (1000, 250, 500)
    """Runs in the first request, in the next one from either end, and in those after it: small
    ones waste less where the ends meet, where up to a page is read twice."""

    points_a_reply = 10_000
    """Points of a metric in one reply; MLflow's own limit is 25,000."""

    def __init__(self, tracking_uri: str) -> None:
        self.client = MlflowClient(tracking_uri)
        self._uri = tracking_uri
        self._bulk = tracking_uri.startswith(("http://", "https://"))
        self._find = self._over_http if self._bulk else self._in_store

    def check(self, sweep: str) -> None:
        """Raise InputError where there is no such sweep."""
        where = [self._experiment(sweep)]
        if not any(self._find(where, condition, 1) for condition in (_PARENT, _FINISHED_TRIAL)):
            raise unknown_sweep(sweep, self._sweeps())

    def read(self, sweep: str, metrics: Collection[str] = ALL_METRICS) -> Records:
        """Give a sweep's finished trials."""
        where = [self._experiment(sweep)]
        parents = list(self._from_one_end(where, _PARENT))
        # Which are trials is looked up here: to ask for a tag makes every page slower.
        finished = self._from_both_ends(where, _FINISHED)
        trials = {run.run_id: run for run in finished if run.tags.get(ROLE_TAG) == "trial"}
        if not parents and not trials:
            raise unknown_sweep(sweep, self._sweeps())
        return make_records(
            (
                (
                    run.run_id,
                    run.tags.get(TRIAL_KEY_TAG),
                    run.tags.get(OUTCOME_TAG),
                    run.started,
                    run.finished,
                )
                for run in trials.values()
            ),
            (
                (run.run_id, name, value)
                for run in trials.values()
                for name, value in run.metrics.items()
                if is_wanted(name, metrics)
            ),
            newest_spec((run.started, run.run_id, run.tags) for run in parents),
            lambda run_ids: (
                (run_id, *param) for run_id in run_ids for param in trials[run_id].params.items()
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
        response = http_request(
            get_default_host_creds(self._uri),
            _HISTORIES,
            "GET",
            extra_headers={"Connection": "close"},
            params={
                "run_id": list(run_ids), "metric_key": metric, "max_results": self.points_a_reply
            },
        )  # fmt: skip
        if response.status_code == HTTPStatus.NOT_FOUND:
            self._bulk = False
            return None
        if response.status_code != HTTPStatus.OK:
            verify_rest_response(response, _HISTORIES)  # raises MLflow's error for it
        return [
            (point["run_id"], metric, point["step"], point["timestamp"], float(point["value"]))
            for point in response.json()["metrics"]
        ]

    def _experiment(self, sweep: str) -> str:
        experiment = self.client.get_experiment_by_name(sweep)
        if experiment is None or experiment.lifecycle_stage != "active":
            raise unknown_sweep(sweep, self._sweeps())
        return str(experiment.experiment_id)

    def _sweeps(self) -> list[str]:
        names: dict[str, str] = {}
        token = None
        while True:
            found = self.client.search_experiments(ViewType.ACTIVE_ONLY, page_token=token)
            names.update((experiment.experiment_id, experiment.name) for experiment in found)
            token = found.token
            if not token:
                break
        parents = self._from_one_end(list(names), _PARENT) if names else ()
        return sorted({names[run.experiment_id] for run in parents})

    def _from_one_end(self, where: list[str], condition: str) -> Iterator[_FoundRun]:
        """Every run, the one started first at first: one created meanwhile shifts no page."""
        token = None
        while True:
            page = self._find(where, condition, self.pages[0], "ASC", token)
            yield from page.runs
            token = page.token
            if token is None:
                return

    def _from_both_ends(self, where: list[str], condition: str) -> list[_FoundRun]:
        """Every run, perhaps some twice."""
        first_size, next_size, later_size = self.pages
        first = self._find(where, condition, first_size, "ASC")
        if first.token is None:
            return first.runs
        found = list(first.runs)
        # All runs that started before the one time, or after the other, have been found.
        reached = {"ASC": _edge(first), "DESC": math.inf}

        def read(order: str, token: str | None, end: float) -> None:
            size = next_size
            while reached["ASC"] <= reached["DESC"]:
                page = self._find(where, condition, size, order, token)
                found.extend(page.runs)
                if page.token is None:
                    reached[order] = end
                    return
                reached[order] = _edge(page)
                token, size = page.token, later_size

        with ThreadPoolExecutor(max_workers=2) as pool:
            readers = [
                pool.submit(read, "ASC", first.token, math.inf),
                pool.submit(read, "DESC", None, -math.inf),
            ]
            for reader in readers:
                reader.result()
        return found

    def _over_http(
        self, where: list[str], condition: str, most: int, order: str = "ASC",
        token: str | None = None,
    ) -> _Page:  # fmt: skip
        body = {
            "experiment_ids": where,
            "filter": condition,
            "run_view_type": "ACTIVE_ONLY",
            "max_results": most,
            "order_by": [f"attributes.start_time {order}"],
            "page_token": token,
        }
        response = http_request(
            get_default_host_creds(self._uri),
            _SEARCH,
            "POST",
            # A connection that is kept stays with one process of the server, and two may well
            # stay with the same; of new ones, the idle process takes each.
            extra_headers={"Connection": "close"},
            json=body,
        )
        if response.status_code != 200:
            verify_rest_response(response, _SEARCH)  # raises MLflow's error for it
        reply = response.json()
        return _Page([_of_json(run) for run in reply.get("runs", ())], reply.get("next_page_token"))

    def _in_store(
        self, where: list[str], condition: str, most: int, order: str = "ASC",
        token: str | None = None,
    ) -> _Page:  # fmt: skip
        page = self.client.search_runs(
            where, condition, ViewType.ACTIVE_ONLY, most, [f"attributes.start_time {order}"], token
        )
        return _Page([_of_entity(run) for run in page], page.token or None)


def _edge(page: _Page) -> int:
    return page.runs[-1].started or 0


def _of_json(run: dict[str, Any]) -> _FoundRun:
    info, data = run["info"], run.get("data", {})
    tags, params, metrics = (
        {pair["key"]: pair.get("value", "") for pair in data.get(kind, ())}
        for kind in ("tags", "params", "metrics")
    )
    return _FoundRun(
        info["run_id"],
        info["experiment_id"],
        int(info["start_time"]) if "start_time" in info else None,
        int(info["end_time"]) if "end_time" in info else None,
        tags,
        params,
        {name: float(value) for name, value in metrics.items()},
    )


def _of_entity(run: Run) -> _FoundRun:
    info, data = run.info, run.data
    return _FoundRun(
        info.run_id, info.experiment_id, info.start_time, info.end_time,
        data.tags, data.params, data.metrics,
    )  # fmt: skip
