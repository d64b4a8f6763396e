"""The records of a sweep, and the interfaces of the sources from which they are read.

Every source returns the same ``Records`` to the last bit: a sweep's finished trials and its spec as
MLflow has them. ``orchestration.results.cells`` decides which of them count.

    SweepSource
    ├── Source              reads any sweep
    │   ├── RestSource      orchestration.reading.rest: a tracking server, or one of MLflow's stores
    │   └── SqlSource       orchestration.reading.sql: MLflow's database, read-only and faster
    └── ArchiveSource       orchestration.reading.archive: reads the one sweep of an archive
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pandas as pd

from orchestration.model.metric import EPOCH_METRICS, EVERY_METRIC, SPIKE_RATE
from orchestration.record.names import (
    BEST_EPOCH,
    BEST_TEST_ACCURACY,
    OUTCOME_TAG,
    TRIAL_KEY_TAG,
    spec_from_tags,
)

DIAGNOSTICS = ("rate.", "support.", "silent.", "saturated.", "margin.", "gradient.", "shift.")
"""The prefixes of diagnostics, such as ``rate.<layer>``, which are recorded before the first epoch
as epoch 0, and after each epoch. They are many, so they are read only on demand."""

ALL_METRICS = (BEST_TEST_ACCURACY, BEST_EPOCH, *EPOCH_METRICS, SPIKE_RATE)
"""All metrics of this project except diagnostics."""

TextRows = Iterable[tuple[str, str, str]]
"""(run id, name, text) in any order."""


def is_wanted(name: str, wanted: Collection[str]) -> bool:
    """Whether a metric is wanted; a name that ends with a dot, such as ``spike_rate.``, stands for
    every layer's.
    """
    if name in wanted or EVERY_METRIC in wanted:
        return True
    return "".join(name.partition(".")[:2]) in wanted


@dataclass(frozen=True)
class Records:
    """A sweep's trials as MLflow holds them. The frames share one index, the run ids in order.

    Args:
        runs: one row for each trial: ``trial_key`` and ``outcome`` (text or None), ``started`` and
            ``finished`` (milliseconds since 1970; missing if MLflow has no such time), ``status``
            (MLflow's).
        metrics: one column for each wanted metric that was recorded, with its last value.
        experiment_id: MLflow's id of the sweep's experiment.
        parent_run_id: the first of the sweep's own runs; None if it has none.
        spec: the canonical JSON of the newest spec; None if there is none.
        param_rows: reads the parameters of the runs with these ids. They are read only on demand,
            as they are most of the data, and few tables need all of them.
        tag_rows: reads these tags of the trials; may return tags of further runs.
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    experiment_id: str
    parent_run_id: str | None
    spec: str | None
    param_rows: Callable[[Sequence[str]], TextRows]
    tag_rows: Callable[[Collection[str]], TextRows]

    def params(self, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one column for each parameter, as text; None if a run does not have it.

        Args:
            run_ids: the runs, which become the index in this order. None is all runs.
        """
        wanted = self.runs.index.tolist() if run_ids is None else list(run_ids)
        return _wide(self.param_rows(wanted), wanted)


class MlflowRun(NamedTuple):
    """A run as MLflow has it: a sweep's own or a trial's, with any status."""

    run_id: str
    status: str
    started: int | None
    """Milliseconds since 1970."""
    ended: int | None
    """Milliseconds since 1970; None while the run is open."""
    tags: Mapping[str, str]
    """Those that were asked for."""
    experiment: str = ""
    """The name of its experiment, which is the sweep's name, if it was asked for."""
    params: Mapping[str, str] = {}
    """Its parameters, if they were asked for."""
    metrics: Mapping[str, tuple[int, float]] = {}
    """The last epoch and value of each metric that was asked for."""


MetricsToRead = Callable[[MlflowRun], Collection[str]]


class SweepSource(Protocol):
    """A source of a sweep's records. All sources return equal records."""

    def check(self, sweep: str) -> None:
        """Raise InputError if there is no such sweep; reads very little."""

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,
    ) -> Records:
        """Return a sweep's finished trials, or all others.

        Args:
            finished: whether to return the finished trials; if not, the running, failed, stopped
                and pruned ones. A file has only the pruned ones of these.
            replaced: whether to include runs that no longer count, because ``--fresh`` ran their
                trials again.

        Raises:
            InputError: there is no such sweep.
        """

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Return metrics of runs of a sweep by epoch: ``run_id``, ``metric``, ``epoch``, ``value``.

        Each metric has its full name; there are no prefixes for all layers.
        """


class Source(SweepSource, Protocol):
    """A source of the records of all sweeps."""

    def sweep_runs(
        self, metrics: MetricsToRead, sweeps: Collection[str] | None = None
    ) -> Iterable[MlflowRun]:
        """Return the runs of sweeps and their trials, in any order.

        Args:
            metrics: gives, for a sweep's own run, the metrics whose last values are wanted.
            sweeps: the names of the sweeps to read; None for all.
        """


def make_records(
    runs: Iterable[MlflowRun],
    metrics: Iterable[tuple[str, str, float | None]],
    parents: Iterable[MlflowRun],
    **more: Any,
) -> Records:
    """Build Records from runs and values in any order.

    Args:
        runs: the trials' runs, with the tags of their key and outcome.
        metrics: (run id, name, last value).
        more: experiment_id, param_rows and tag_rows of Records.
    """
    trials = sorted(runs, key=lambda run: run.run_id)
    ids = [run.run_id for run in trials]
    frame = pd.DataFrame(
        {
            "trial_key": pd.Series([run.tags.get(TRIAL_KEY_TAG) for run in trials], dtype=object),
            "outcome": pd.Series([run.tags.get(OUTCOME_TAG) for run in trials], dtype=object),
            "started": pd.array([run.started for run in trials], dtype="Int64"),
            "finished": pd.array([run.ended for run in trials], dtype="Int64"),
            "status": pd.Series([run.status for run in trials], dtype=object),
        }
    ).set_axis(_index(ids))
    own = sorted(parents, key=lambda parent: (parent.started or 0, parent.run_id))
    specs = [spec for parent in own if (spec := spec_from_tags(parent.tags)) is not None]
    return Records(
        frame,
        _wide(metrics, ids, "float64"),
        parent_run_id=own[0].run_id if own else None,
        spec=specs[-1] if specs else None,
        **more,
    )


def records_of_runs(
    runs: Iterable[MlflowRun],
    metrics: Collection[str],
    parents: Iterable[MlflowRun],
    experiment_id: str,
) -> Records:
    """Build Records from runs that hold their parameters, all their tags and last values.

    Args:
        runs: the trials' runs; of runs with the same id the last one counts.
    """
    trials = {run.run_id: run for run in runs}
    return make_records(
        trials.values(),
        (
            (run_id, name, value)
            for run_id, run in trials.items()
            for name, (_, value) in run.metrics.items()
            if is_wanted(name, metrics)
        ),
        parents,
        experiment_id=experiment_id,
        param_rows=lambda run_ids: (
            (run_id, *param) for run_id in run_ids for param in trials[run_id].params.items()
        ),
        tag_rows=lambda names: (
            (run_id, name, run.tags[name])
            for run_id, run in trials.items()
            for name in names
            if name in run.tags
        ),
    )


def _wide(
    rows: Iterable[tuple[str, str, Any]], run_ids: Sequence[str], dtype: str = "object"
) -> pd.DataFrame:
    columns: dict[str, dict[str, Any]] = defaultdict(dict)
    for run_id, name, value in rows:
        columns[name][run_id] = value
    return pd.DataFrame(
        {
            name: pd.Series([columns[name].get(run_id) for run_id in run_ids], dtype=dtype)
            for name in sorted(columns)
        },
        index=pd.RangeIndex(len(run_ids)),
    ).set_axis(_index(run_ids))


def _index(run_ids: Sequence[str]) -> pd.Index[Any]:
    return pd.Index(list(run_ids), dtype="object", name="run_id")


def point_frame(rows: Iterable[tuple[str, str, int, int, float | None]]) -> pd.DataFrame:
    """Reduce rows of (run, metric, epoch, timestamp, value) to one value for each epoch.

    The last recorded value counts, as in MLflow's own ``latest_metrics``. Among values of the same
    millisecond the largest counts, and NaN only if there is no number.
    """
    frame = pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "timestamp", "value"])
    frame = frame.astype({"value": "float64"}).sort_values(
        ["run_id", "metric", "epoch", "timestamp", "value"], na_position="first"
    )
    frame = frame.drop_duplicates(["run_id", "metric", "epoch"], keep="last")
    return frame.drop(columns="timestamp").reset_index(drop=True)
