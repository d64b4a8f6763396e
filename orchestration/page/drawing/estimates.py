"""Estimates how long a sweep will still train, from the seconds of epochs. Pure."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.durations import (
    EPOCH_SECONDS,
    RecordedTimes,
    possible_seconds,
    seconds_until_done,
)
from orchestration.page.drawing.state import Cell, Grid
from orchestration.reading.records import Records


def _seconds(records: Records) -> pd.Series:
    """The seconds of an epoch of each run; missing where none are recorded or possible."""
    recorded = records.metrics.get(EPOCH_SECONDS, pd.Series(math.nan, records.runs.index))
    return recorded.map(possible_seconds).astype("float64")


def seconds_left(grid: Grid, cell_of_run: pd.Series, *records: Records) -> float | None:
    """How long the trials that have not finished will take, with as many at once as now.

    Args:
        cell_of_run: the number of each run's cell, by run id; missing if it is in none.
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
