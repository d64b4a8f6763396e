"""Two ways to what was recorded: MLflow's REST API, which always works, and SQL, which is fast.

Both give the same ``Records`` to the last bit: a sweep's finished trials and its spec, as MLflow
holds them, and nothing decided about them yet. ``orchestration.cells`` and
``orchestration.statistics`` decide.

    Source
    ├── RestSource      here: a tracking server, or MLflow's own store without one
    └── SqlSource       orchestration.sql_source: MLflow's database, read-only
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

import pandas as pd
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from orchestration.errors import InputError
from orchestration.problems import did_you_mean

__all__ = [
    "EPOCH_METRICS",
    "FINAL_METRICS",
    "KEY_TAG",
    "OUTCOME_TAG",
    "ROLE_TAG",
    "SPEC_TAG",
    "SPIKE_RATE",
    "Records",
    "RestSource",
    "Source",
    "is_epoch_metric",
    "make_records",
    "newest_spec",
    "point_frame",
    "unknown_sweep",
]

EPOCH_METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "images_per_second",
    "epoch_seconds",
)
"""Recorded once an epoch, with ``spike_rate.<layer>`` besides for spiking networks."""

FINAL_METRICS = ("best_test_accuracy", "best_epoch")
"""Recorded once, at a trial's end."""

SPIKE_RATE = "spike_rate."
"""What the name of a layer's spike rate begins with."""

ROLE_TAG, KEY_TAG, OUTCOME_TAG = "snn_sweep.role", "snn_sweep.trial_key", "snn_sweep.outcome"
SPEC_TAG = "snn_sweep.spec"


def is_epoch_metric(name: str) -> bool:
    """Whether a metric of this name is recorded once an epoch."""
    return name in EPOCH_METRICS or name.startswith(SPIKE_RATE)


@dataclass(frozen=True)
class Records:
    """A sweep as MLflow holds it. The three frames share one index, the run ids in order.

    Args:
        runs: a finished trial a row: ``trial_key`` and ``outcome`` (text or None), ``started`` and
            ``finished`` (milliseconds since 1970; missing where MLflow has none).
        params: a column a parameter, as text; missing where a run has none of that name.
        metrics: a column a metric, its last value.
        spec: the canonical JSON of the sweep's spec; None where it has none.
    """

    runs: pd.DataFrame
    params: pd.DataFrame
    metrics: pd.DataFrame
    spec: str | None


class Source(Protocol):
    """One way to the records. Whatever the way, the answers are equal."""

    def read(self, sweep: str) -> Records:
        """Give a sweep's finished trials. Raises InputError where there is no such sweep."""

    def points(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Give what these runs recorded by epoch: ``run_id``, ``metric``, ``epoch``, ``value``."""


def make_records(
    runs: Iterable[tuple[str, str | None, str | None, int | None, int | None]],
    params: Iterable[tuple[str, str, str]],
    metrics: Iterable[tuple[str, str, float]],
    spec: str | None,
) -> Records:
    """Build Records from rows in any order.

    Args:
        runs: (run id, trial key, outcome, started, finished).
        params: (run id, name, text).
        metrics: (run id, name, value).
        spec: the canonical JSON of the sweep's spec.
    """
    frame = pd.DataFrame(runs, columns=["run_id", "trial_key", "outcome", "started", "finished"])
    frame = frame.drop_duplicates("run_id").set_index("run_id").sort_index()
    frame = frame.astype(
        {"trial_key": object, "outcome": object, "started": "Int64", "finished": "Int64"}
    )
    numbers = _wide(metrics, frame.index).astype(float)
    return Records(frame, _wide(params, frame.index), numbers, spec)


def _wide(rows: Iterable[tuple[str, str, Any]], index: pd.Index[str]) -> pd.DataFrame:
    long = pd.DataFrame(rows, columns=["run_id", "name", "value"])
    long = long.drop_duplicates(["run_id", "name"])
    wide = long.pivot(index="run_id", columns="name", values="value")
    return wide.reindex(index).sort_index(axis="columns").rename_axis(columns=None)


def point_frame(rows: Iterable[tuple[str, str, int, int, float]]) -> pd.DataFrame:
    """Give one value to each (run, metric, epoch) from (run, metric, epoch, timestamp, value).

    Of several, the last recorded counts, as in MLflow's own ``latest_metrics``; of several in one
    millisecond the largest, and a number before NaN.
    """
    frame = pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "timestamp", "value"])
    frame = frame.sort_values(
        ["run_id", "metric", "epoch", "timestamp", "value"], na_position="first"
    )
    frame = frame.drop_duplicates(["run_id", "metric", "epoch"], keep="last")
    return frame.drop(columns="timestamp").reset_index(drop=True)


def joined_spec(tags: Mapping[str, str]) -> str | None:
    """Put a spec together that was too long for one tag: snn_sweep.spec, .1, .2 and so on."""
    if SPEC_TAG not in tags:
        return None
    parts, number = [tags[SPEC_TAG]], 1
    while f"{SPEC_TAG}.{number}" in tags:
        parts.append(tags[f"{SPEC_TAG}.{number}"])
        number += 1
    return "".join(parts)


def unknown_sweep(name: str, known: Sequence[str]) -> InputError:
    """The error for a sweep that is not there: which ones are, and the nearest."""
    if not known:
        return InputError(
            f"no sweep is named {name!r}: nothing has been recorded here yet. "
            "Start one with `snn-sweep run SPEC`, or name another tracking server with "
            "MLFLOW_TRACKING_URI"
        )
    listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
    return InputError(f"no sweep is named {name!r}; known are {listed}{did_you_mean(name, known)}")


class RestSource:
    """Reads through MLflow's client: a tracking server's URI, or one of MLflow's own stores.

    Args:
        tracking_uri: such as ``http://127.0.0.1:5000`` or ``sqlite:////home/me/mlflow.db``.
    """

    page = 1000

    def __init__(self, tracking_uri: str) -> None:
        self.client = MlflowClient(tracking_uri)

    def read(self, sweep: str) -> Records:
        """Give a sweep's finished trials, a page of runs a request."""
        experiment = self.client.get_experiment_by_name(sweep)
        if experiment is None or experiment.lifecycle_stage != "active":
            raise unknown_sweep(sweep, self._sweeps())
        where = [experiment.experiment_id]
        parents = self._search(where, f"tags.`{ROLE_TAG}` = 'sweep'")
        trials = self._search(
            where, f"attributes.status = 'FINISHED' AND tags.`{ROLE_TAG}` = 'trial'"
        )
        if not parents and not trials:
            raise unknown_sweep(sweep, self._sweeps())
        return make_records(
            (
                (
                    run.info.run_id,
                    run.data.tags.get(KEY_TAG),
                    run.data.tags.get(OUTCOME_TAG),
                    run.info.start_time,
                    run.info.end_time,
                )
                for run in trials
            ),
            ((run.info.run_id, *item) for run in trials for item in run.data.params.items()),
            (
                (run.info.run_id, name, value)
                for run in trials
                for name, value in run.data.metrics.items()
                if name in FINAL_METRICS or is_epoch_metric(name)
            ),
            newest_spec((run.info.start_time, run.info.run_id, run.data.tags) for run in parents),
        )

    def points(self, run_ids: Sequence[str]) -> pd.DataFrame:
        """Give what these runs recorded by epoch, a request for each run and metric."""

        def history(run_id: str) -> list[tuple[str, str, int, int, float]]:
            names = filter(is_epoch_metric, self.client.get_run(run_id).data.metrics)
            return [
                (run_id, name, point.step, point.timestamp, point.value)
                for name in names
                for point in self.client.get_metric_history(run_id, name)
            ]

        with ThreadPoolExecutor(max_workers=8) as pool:
            return point_frame(point for points in pool.map(history, run_ids) for point in points)

    def _search(self, experiments: list[str], condition: str) -> list[Run]:
        """Collect all pages. Oldest first, so that a run created meanwhile shifts no page."""
        found: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs(
                experiments,
                condition,
                ViewType.ACTIVE_ONLY,
                max_results=self.page,
                order_by=["attributes.start_time ASC"],
                page_token=token,
            )
            found.extend(page)
            token = page.token
            if not token:
                return found

    def _sweeps(self) -> list[str]:
        names: dict[str, str] = {}
        token = None
        while True:
            page = self.client.search_experiments(
                ViewType.ACTIVE_ONLY, max_results=self.page, page_token=token
            )
            names.update((experiment.experiment_id, experiment.name) for experiment in page)
            token = page.token
            if not token:
                break
        if not names:
            return []
        parents = self._search(list(names), f"tags.`{ROLE_TAG}` = 'sweep'")
        return sorted({names[run.info.experiment_id] for run in parents})


def newest_spec(parents: Iterable[tuple[int | None, str, Mapping[str, str]]]) -> str | None:
    """Give the spec of the sweep's run that was started last: (started, run id, tags)."""
    ordered = sorted(parents, key=lambda parent: (parent[0] or 0, parent[1]))
    specs = [spec for _, _, tags in ordered if (spec := joined_spec(tags)) is not None]
    return specs[-1] if specs else None
