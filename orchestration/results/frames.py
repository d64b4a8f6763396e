"""Builds the frames from which all other numbers are computed, from records and cells. Pure.

Frames of trials have the number of their ``cell``, which is a row of best of seeds.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pandas as pd

from orchestration.model.columns import CELL, CHOICE
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.reading.records import Records
from orchestration.record.names import BEST_EPOCH
from orchestration.results.cells import Cells
from orchestration.results.columns import EXPECTED_BEST, N_COMMON, SELECTED_ON
from orchestration.results.statistics import cell_statistics, expected_best
from orchestration.results.typed_params import params_of_runs, typed

LAST_TEST_ACCURACY = TEST_ACCURACY.last_name
"""The test accuracy of a trial's last epoch, as a column."""


def metric_of(metric: Metric) -> dict[str, str]:
    """The metric whose last value is in each column of the trials in cells."""
    return {
        metric.best_name: metric.best_name,
        BEST_EPOCH: BEST_EPOCH,
        metric.last_name: metric.name,
    }


METRIC_OF = metric_of(TEST_ACCURACY)


def all_trials(records: Records, cells: Cells) -> pd.DataFrame:
    """One row per finished trial; ``cell`` is missing if the spec does not want the trial."""
    runs, params = records.runs, params_of_runs(records)
    table = pd.DataFrame(
        {
            "run_id": runs.index.astype("str"),
            "trial_key": runs["trial_key"].astype("str"),
            "outcome": runs["outcome"].astype("str"),
            "in_spec": cells.of_trial.notna() | cells.is_of_search(runs.index),
        }
    ).rename_axis(index=None)
    for name in params:
        table[name] = typed(params[name])
    table[cells.metric.best_name] = _values(records, cells.metric.best_name)
    table[BEST_EPOCH] = _values(records, BEST_EPOCH).astype("Int64")
    for name in metrics_by_epoch(cells, map(str, records.metrics)):
        table[f"last_{name}"] = _values(records, name)
    for name in ("started", "finished"):
        table[name] = pd.to_datetime(runs[name], unit="ms", utc=True)
    table["cell"] = cells.of_trial
    order = [name for name in (*cells.axes, "seed") if name in table]
    return table.sort_values([*order, "run_id"], na_position="first").reset_index(drop=True)


def metrics_by_epoch(cells: Cells, recorded: Iterable[str]) -> list[str]:
    """The metrics that are recorded by epoch, in the order of a table's columns."""
    once = (BEST_EPOCH, cells.metric.best_name)
    return [name for name in cells.kind.epoch_metrics(recorded) if name not in once]


def curves_of(points: pd.DataFrame, cells: Cells, trials: pd.DataFrame) -> pd.DataFrame:
    """One row per epoch of these rows of :func:`all_trials`, from the metrics by epoch."""
    wide = points.pivot(index=["run_id", "epoch"], columns="metric", values="value")
    wide = wide.reindex(columns=metrics_by_epoch(cells, map(str, wide)))
    return with_trials(wide.rename_axis(columns=None).reset_index(), cells, trials)


def with_trials(rows: pd.DataFrame, cells: Cells, trials: pd.DataFrame) -> pd.DataFrame:
    """Rows with ``run_id`` and ``epoch``, after the columns that identify their trials."""
    named = [name for name in (*cells.axes, "seed") if name in trials]
    identity = trials[["run_id", "trial_key", "in_spec", *named, "cell"]]
    table = identity.assign(order=range(len(identity))).merge(
        rows.astype({"run_id": "str", "epoch": "int64"}), on="run_id"
    )
    table = table.sort_values(["order", "epoch"], kind="stable")
    return table.drop(columns="order").reset_index(drop=True)


def trials_in_cells(records: Records, cells: Cells, *columns: str) -> pd.DataFrame:
    """The trials that count, by run id: ``cell``, ``seed``, these columns and ``outcome``."""
    source = metric_of(cells.metric)
    values = {column: _values(records, source.get(column, column)) for column in columns}
    trials = pd.DataFrame(
        {
            "cell": cells.of_trial,
            "seed": cells.seeds,
            **values,
            "outcome": records.runs["outcome"],
        }
    )
    return trials[trials["cell"].notna()].astype({"cell": "int64"})


def seeds_of(records: Records, cells: Cells) -> pd.DataFrame:
    """One row per trial that counts, by cell and seed."""
    columns = metric_of(cells.metric)
    trials = trials_in_cells(records, cells, *columns)
    trials[BEST_EPOCH] = trials[BEST_EPOCH].astype("Int64")
    of_cell = cells.table[[*cells.axes, SELECTED_ON]]
    table = trials.sort_values(["cell", "seed"]).join(of_cell, on="cell")
    table = table.reset_index(names="run_id").astype({"run_id": "str", "outcome": "str"})
    names = ["seed", *columns, "outcome", "run_id", SELECTED_ON, "cell"]
    return table[[*cells.axes, *names]]


def best_of_seeds(records: Records, cells: Cells, *, last: bool = False) -> pd.DataFrame:
    """One row per cell, of each seed's best epoch, or of its last one if asked for."""
    metric = cells.metric
    column = metric.last_name if last else metric.best_name
    trials = trials_in_cells(records, cells, column)
    statistics = cell_statistics(trials.rename(columns={column: "accuracy"}), metric)
    table = cells.table[cells.axes].join(statistics)
    counts = ["n_seeds", "n_collapsed", "n_diverged"]
    table[counts] = table[counts].fillna(0).astype("int64")
    # Seeds until decided: a cell may have been allocated more than the certain ones.
    table["n_expected"] = cells.table["n_expected"].clip(lower=table["n_seeds"])
    by_cell = trials.dropna(subset=column).groupby("cell")[column]
    common = int(by_cell.size().min()) if len(by_cell) else 0
    table[EXPECTED_BEST] = by_cell.agg(
        lambda values: expected_best(values.tolist(), common, metric)
    )
    table[N_COMMON] = common
    table[SELECTED_ON] = None if last else cells.table[SELECTED_ON]
    return table[[*cells.axes, *CELL]].reset_index(drop=True)


def expected_bests(records: Records, cells: Cells) -> pd.DataFrame:
    """One row per cell and n."""
    rows = []
    for number, seeds in seeds_of(records, cells).groupby("cell"):
        cell = cells.table.loc[number].to_dict()
        known = seeds[cells.metric.best_name].dropna().tolist()
        for n in range(1, len(known) + 1):
            value = expected_best(known, n, cells.metric)
            rows.append({**cell, "n": n, "expected_best": value, "cell": number})
    return pd.DataFrame(rows, columns=[*cells.axes, *CHOICE])


def with_best(records: Records, metric: Metric, points: pd.DataFrame) -> Records:
    """Records with each run's best epoch by a metric, and its value, computed from all epochs.

    So a spec may name another metric after its trials were trained.
    """
    points = points.sort_values(["run_id", "epoch"], ignore_index=True)
    places = [
        of_run.index[place]
        for _, of_run in points.groupby("run_id")
        if (place := metric.best(of_run["value"].tolist())) is not None
    ]
    best = (
        points.loc[places]
        .set_index("run_id")
        .reindex(records.metrics.index)
        .astype({"value": "float64", "epoch": "float64"})
    )
    columns = {metric.best_name: best["value"], BEST_EPOCH: best["epoch"]}
    return replace(records, metrics=records.metrics.assign(**columns))


def histories(points: pd.DataFrame) -> dict[str, list[float]]:
    """The values of each run in the order of its epochs, from points of one metric."""
    by_run = points.sort_values(["run_id", "epoch"]).groupby("run_id")["value"]
    return {str(run_id): values.tolist() for run_id, values in by_run}


def _values(records: Records, name: str) -> pd.Series:
    if name in records.metrics:
        return records.metrics[name]
    return pd.Series(float("nan"), records.runs.index)
