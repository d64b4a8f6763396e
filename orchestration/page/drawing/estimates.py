"""Estimates how long a sweep has trained and will train, from the seconds of epochs. Pure."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.durations import (
    EPOCH_SECONDS,
    RecordedTimes,
    possible_seconds,
    seconds_until_done,
    trained_seconds,
)
from orchestration.page.drawing.state import Cell, Grid
from orchestration.reading.records import Records
from orchestration.results.results import Results


def impossible_epochs(*records: Records) -> int:
    """How many runs have an impossible time of an epoch."""
    return sum(
        int(some.metrics[EPOCH_SECONDS].notna().sum() - _seconds(some).notna().sum())
        for some in records
        if EPOCH_SECONDS in some.metrics
    )


def _seconds(records: Records) -> pd.Series:
    """The seconds of an epoch of each run; missing where none are recorded or possible."""
    recorded = records.metrics.get(EPOCH_SECONDS, pd.Series(math.nan, records.runs.index))
    return recorded.map(possible_seconds).astype("float64")


def trained_hours(finished: Results, others: Records, unfinished: pd.DataFrame) -> float:
    """The hours of all trials together.

    Args:
        finished: the results of the finished trials.
        others: the records of the unfinished trials.
        unfinished: ``run_id`` and ``epoch`` of the unfinished trials that are in a cell.
    """
    records, cells = finished.records, finished.cells
    epochs = cells.of_trial.map(pd.to_numeric(cells.table["epochs"])).astype("float64")
    # Where the spec gives no number of epochs, a trial has trained as long as its run lasted.
    epochs = epochs.reindex(records.runs.index).fillna(math.inf)
    done = unfinished.set_index("run_id")["epoch"].astype("float64")
    return (_trained(records, epochs) + _trained(others, done)) / 3600


def _trained(records: Records, epochs: pd.Series) -> float:
    seconds = _seconds(records).reindex(epochs.index)
    runs = records.runs.reindex(epochs.index)
    elapsed = (runs["finished"] - runs["started"]).astype("float64").fillna(math.inf) / 1000
    each = map(trained_seconds, epochs, seconds, elapsed)
    return sum(seconds for seconds in each if math.isfinite(seconds))


def seconds_left(grid: Grid, cell_of_run: pd.Series, *records: Records) -> float | None:
    """How long the trials that have not finished will take, with as many at once as now.

    Args:
        grid: every trial.
        cell_of_run: the number of each run's cell, by run id; missing if it is in none.
        records: the records of all runs.
    """

    def kind(cell: Cell) -> str:
        return cell.values.get("architecture", "")

    times = RecordedTimes()
    numbers = cell_of_run.dropna().astype("int64").to_dict()
    for some in records:
        for run_id, seconds in _seconds(some).dropna().items():
            if run_id in numbers:
                cell = grid.cells[numbers[run_id]]
                times.add(cell.number, kind(cell), seconds)

    def left(cell: Cell, epochs_done: int) -> float | None:
        epoch = times.estimate(cell.number, kind(cell))
        if epoch is None or cell.epochs is None:
            return None
        return epoch * max(cell.epochs - epochs_done, 0)

    remaining = [
        left(cell, trial.epoch)
        for cell, _, trial in grid.trials()
        if trial.state in ("waiting", "running")
    ]
    return seconds_until_done(remaining, grid.count("running"))
