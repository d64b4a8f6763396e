"""Three ways to what was recorded: MLflow's REST API, which always works; SQL, fast; a file.

All give the same ``Records`` to the last bit: a sweep's finished trials and its spec, as MLflow
holds them, and nothing decided about them yet. ``orchestration.results.cells`` and
``orchestration.results.statistics`` decide.

    SweepSource
    ├── Source              of any sweep there is
    │   ├── RestSource      orchestration.reading.rest: a tracking server, or one of MLflow's stores
    │   └── SqlSource       orchestration.reading.sql: MLflow's database, read-only
    └── ArchiveSource       orchestration.reading.archive: of the one that was exported to a file
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import pandas as pd

from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY, STATUS_TAG, spec_from_tags

EPOCH_METRICS = (
    "train_loss",
    "train_accuracy",
    "test_loss",
    "test_accuracy",
    "validation_loss",
    "validation_accuracy",
    "images_per_second",
    "epoch_seconds",
)
"""Recorded once an epoch, those of validation only where training images are held out for it; with
``spike_rate.<layer>`` besides for spiking networks."""

SPIKE_RATE = "spike_rate."
"""What the name of a layer's spike rate begins with; among wanted metrics it means all of them."""

DIAGNOSTICS = ("rate.", "support.", "silent.", "saturated.", "margin.", "gradient.", "shift.")
"""Recorded by layer, ``rate.<layer>`` and so on, before the first epoch, as epoch 0, and after
each. They are many, so nothing reads them but what asks for them."""

ALL_METRICS = (BEST_TEST_ACCURACY, BEST_EPOCH, *EPOCH_METRICS, SPIKE_RATE)
"""All that this project records but diagnostics."""

EVERY_METRIC = "*"
"""Among wanted metrics it means whatever was recorded: of training code of the user's own, whose
names only the runs tell."""

TextRows = Iterable[tuple[str, str, str]]
"""(run id, name, text) in any order."""

RunRow = tuple[str, str | None, str | None, int | None, int | None, str]
"""A trial's run: its id, the trial's key, its outcome, start and end, and MLflow's status."""

Parent = tuple[int | None, str, Mapping[str, str]]
"""A sweep's own run: when it was started, its id, and the tags that hold its spec and status."""


def is_wanted(name: str, wanted: Collection[str]) -> bool:
    """Whether a metric is among those wanted, of which ``spike_rate.`` means every layer's.

    So does every name that ends with a dot.
    """
    if name in wanted or EVERY_METRIC in wanted:
        return True
    return "".join(name.partition(".")[:2]) in wanted


@dataclass(frozen=True)
class Records:
    """A sweep's trials as MLflow holds them. The frames share one index, the run ids in order.

    Args:
        runs: a trial a row: ``trial_key`` and ``outcome`` (text or None), ``started`` and
            ``finished`` (milliseconds since 1970; missing where MLflow has none), ``status``
            (MLflow's).
        metrics: a column a metric that was asked for and is there, its last value.
        experiment_id: MLflow's.
        parent_run_id: the sweep's own run, the one started first; None where it has none.
        status: of the sweep, as its last driver wrote it; None where it has no run of its own.
        began: milliseconds since 1970; None where it has no run of its own.
        spec: the canonical JSON of the newest spec; None where there is none.
        param_rows: gives the parameters of the runs of these ids. They are most of what there is
            to read, and few answers need them all.
        tag_rows: gives these tags of the trials, perhaps of further runs too.
    """

    runs: pd.DataFrame
    metrics: pd.DataFrame
    experiment_id: str
    parent_run_id: str | None
    status: str | None
    began: int | None
    spec: str | None
    param_rows: Callable[[Sequence[str]], TextRows]
    tag_rows: Callable[[Collection[str]], TextRows]

    def params(self, run_ids: Sequence[str] | None = None) -> pd.DataFrame:
        """Give a column a parameter, as text; None where a run has none of that name.

        Args:
            run_ids: whose; they are the index, in this order. None is all of them.
        """
        wanted = self.runs.index.tolist() if run_ids is None else list(run_ids)
        return _wide(self.param_rows(wanted), wanted)


class SweepRun(NamedTuple):
    """A sweep's own run, or one of a trial of it, whatever its status."""

    experiment: str
    """The name of its experiment, and so of its sweep."""
    status: str
    started: int
    """Milliseconds since 1970."""
    tags: Mapping[str, str]
    """Those that are this project's."""
    run_id: str
    ended: int | None
    """Milliseconds since 1970; None of a run that is not over."""
    metrics: Mapping[str, tuple[int, float]]
    """Of those asked for, the last epoch's: its number, and the value."""


class SweepSource(Protocol):
    """One way to a sweep's records. Whatever the way, the answers are equal."""

    def check(self, sweep: str) -> None:
        """Raise InputError where there is no such sweep; reads next to nothing."""

    def read(
        self, sweep: str, metrics: Collection[str] = ALL_METRICS, *, replaced: bool = False
    ) -> Records:
        """Give a sweep's finished trials. Raises InputError where there is no such sweep.

        Args:
            sweep: its name.
            metrics: those to read.
            replaced: whether to give the runs too that count no longer, as ``--fresh`` made their
                trials anew.
        """

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Give these metrics of these runs by epoch: ``run_id``, ``metric``, ``epoch``, ``value``.

        The metrics are named one by one, each layer's spike rate too.
        """


class Source(SweepSource, Protocol):
    """One way to the records of all sweeps."""

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,
    ) -> Records:
        """Give a sweep's finished trials, or else the others: running, failed and stopped ones.

        Raises:
            InputError: there is no such sweep.
        """

    def sweep_runs(self, metrics: Collection[str] = ()) -> Iterable[SweepRun]:
        """Give the runs of all sweeps and their trials, in no order."""


def make_records(
    runs: Iterable[RunRow],
    metrics: Iterable[tuple[str, str, float | None]],
    parents: Iterable[Parent],
    **more: Any,
) -> Records:
    """Build Records from rows in any order.

    Args:
        runs: (run id, trial key, outcome, started, finished, status).
        metrics: (run id, name, value).
        parents: the sweep's own runs.
        more: experiment_id, param_rows and tag_rows, as of Records.
    """
    rows = sorted(runs, key=lambda row: row[0])
    ids = [row[0] for row in rows]
    frame = pd.DataFrame(
        {
            "trial_key": pd.Series([row[1] for row in rows], dtype=object),
            "outcome": pd.Series([row[2] for row in rows], dtype=object),
            "started": pd.array([row[3] for row in rows], dtype="Int64"),
            "finished": pd.array([row[4] for row in rows], dtype="Int64"),
            "status": pd.Series([row[5] for row in rows], dtype=object),
        }
    ).set_axis(_index(ids))
    own = sorted(parents, key=lambda parent: (parent[0] or 0, parent[1]))
    specs = [spec for _, _, tags in own if (spec := spec_from_tags(tags)) is not None]
    return Records(
        frame,
        _wide(metrics, ids, "float64"),
        parent_run_id=own[0][1] if own else None,
        status=own[0][2].get(STATUS_TAG) if own else None,
        began=own[0][0] if own else None,
        spec=specs[-1] if specs else None,
        **more,
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
    """Give one value to each (run, metric, epoch) from (run, metric, epoch, timestamp, value).

    Of several, the last recorded counts, as in MLflow's own ``latest_metrics``; of several in one
    millisecond the largest, and a number before NaN.
    """
    frame = pd.DataFrame(rows, columns=["run_id", "metric", "epoch", "timestamp", "value"])
    frame = frame.astype({"value": "float64"}).sort_values(
        ["run_id", "metric", "epoch", "timestamp", "value"], na_position="first"
    )
    frame = frame.drop_duplicates(["run_id", "metric", "epoch"], keep="last")
    return frame.drop(columns="timestamp").reset_index(drop=True)
