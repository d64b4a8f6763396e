"""How long a sweep has trained, and how long it will, from the seconds of its epochs. Pure."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.epoch_seconds import possible_seconds
from orchestration.page.drawing.state import Grid
from orchestration.reading.records import Records
from orchestration.record.names import spec_fields
from orchestration.results.results import Results

EPOCH_SECONDS = "epoch_seconds"
"""The metric that all of it follows from."""


def impossible_epochs(*records: Records) -> int:
    """How many runs have a time of an epoch that cannot be."""
    return sum(
        int(one.metrics[EPOCH_SECONDS].notna().sum() - _seconds(one).notna().sum())
        for one in records
        if EPOCH_SECONDS in one.metrics
    )


def _seconds(records: Records) -> pd.Series:
    """Of an epoch of each run; missing where none are recorded, or they cannot be."""
    recorded = records.metrics.get(EPOCH_SECONDS, pd.Series(math.nan, records.runs.index))
    return recorded.map(possible_seconds).astype("float64")


def trained_hours(finished: Results, others: Records, places: pd.DataFrame) -> float:
    """Of all trials together: epochs are alike, and no trial took longer than from start to end."""
    records, seconds = finished.records, 0.0
    if EPOCH_SECONDS in records.metrics:
        cells = finished.cells
        epochs = cells.of_trial.map(pd.to_numeric(cells.table["epochs"])).astype("float64")
        planned = epochs * _seconds(records)
        span = (records.runs["finished"] - records.runs["started"]).astype("float64") / 1000
        # Of training that is done when it says so, nobody knows how many epochs were meant.
        seconds += float(planned.clip(upper=span).fillna(span).sum())
    if EPOCH_SECONDS in others.metrics and len(places):
        known = _seconds(others).reindex(places["run_id"]).fillna(0.0)
        seconds += float((known.to_numpy() * places["epoch"].to_numpy()).sum())
    return seconds / 3600


def seconds_left(grid: Grid, finished: Results, others: Records) -> float | None:
    """From epochs seen, of the cell if there are any; shared by as many trials as run now."""
    seen = _seconds(finished.records).dropna()
    by_cell = seen.groupby(finished.cells.of_trial).mean().to_dict()
    overall = pd.concat([seen, _seconds(others)]).mean()
    if math.isnan(overall):
        return None
    total = 0.0
    for cell in grid.cells:
        seconds = by_cell.get(cell.number, overall)
        for place in cell.places.values():
            if place.state in ("waiting", "running"):
                if cell.epochs is None:
                    return None
                total += seconds * max(cell.epochs - place.epoch, 0)
    return total / max(1, grid.count("running"))


def gpus_of_a_trial(spec: str | None) -> float:
    """How many of them a trial takes; 0 where it is not known."""
    try:
        gpu = spec_fields(spec)["resources"]["gpu"]
        gpus = 1.0 if gpu == "auto" else float(gpu)
    except (KeyError, TypeError, ValueError, OverflowError):  # of another version
        return 0.0
    return gpus if math.isfinite(gpus) else 0.0
