"""A sweep as its page shows it: every trial in its place of the grid, whatever its state. Pure.

Finished trials come from a snapshot, as for every other answer; the others from a second reading,
which is small.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.report.table import as_text
from orchestration.results.columns import plain, shortfall

__all__ = ["MOST_DRAWN", "Cell", "Grid", "Place", "grid_of"]

_OF_MLFLOW = {"RUNNING": "running", "SCHEDULED": "running", "FAILED": "failed", "KILLED": "stopped"}


@dataclass(frozen=True)
class Place:
    """A trial: where one cell and one seed meet.

    Args:
        state: completed, collapsed, diverged, running, failed, stopped or waiting; missing where
            the sweep does not run.
        run_id: of its run; empty where it has none.
        accuracy: the best so far, a fraction; None where there is none.
        epoch: how many are done, of a trial that is not finished.
    """

    state: str
    run_id: str = ""
    accuracy: float | None = None
    epoch: int = 0


_WAITING, _MISSING = Place("waiting"), Place("missing")

MOST_DRAWN = 12
"""Settings whose curves and spike rates are shown."""


@dataclass(frozen=True)
class Cell:
    """A row of the grid.

    Args:
        number: its row of best of seeds.
        values: its value on each axis, as text; those of axes that it has not are missing.
        places: a trial by seed.
        mean, low, high: of its finished seeds, fractions; None where there is none.
        best: the largest.
        lack: what it lacks, in words.
        epochs: of one of its trials; None where not known.
        verdict: what is decided of it, in words.
    """

    number: int
    values: dict[str, str]
    places: dict[int, Place]
    mean: float | None
    low: float | None
    high: float | None
    best: float | None
    lack: str
    epochs: int | None
    verdict: str = ""

    def count(self, *states: str) -> int:
        """How many of its trials are in one of these states."""
        return sum(place.state in states for place in self.places.values())

    @property
    def finished(self) -> int:
        """How many of its trials have their result."""
        return self.count("completed", "collapsed", "diverged")


@dataclass(frozen=True)
class Grid:
    """All cells.

    Args:
        axes: what tells cells apart.
        seeds: of all cells, in the spec's order.
        cells: in the spec's order.
        low, high: the ends of the colour scale, fractions.
    """

    axes: list[str]
    seeds: list[int]
    cells: list[Cell]
    low: float = field(init=False)
    high: float = field(init=False)

    def __post_init__(self) -> None:
        low, high = _scale([p.accuracy for p in self.places() if p.state == "completed"])
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def places(self) -> Iterator[Place]:
        """Every trial."""
        for cell in self.cells:
            yield from cell.places.values()

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(place.state in states for place in self.places())

    def settings(self) -> dict[tuple[tuple[str, str], ...], list[Cell]]:
        """Cells that differ in their norm alone, together."""
        found: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
        for cell in self.cells:
            setting = tuple(pair for pair in cell.values.items() if pair[0] != "norm")
            found.setdefault(setting, []).append(cell)
        return found

    def drawn(self) -> list[list[Cell]]:
        """The settings whose curves are drawn: all, or of many those with the best cells."""
        settings = list(self.settings().values())
        ranked = sorted(settings, key=lambda cells: -max(cell.best or 0.0 for cell in cells))
        kept = {id(cells) for cells in ranked[:MOST_DRAWN]}
        return [cells for cells in settings if id(cells) in kept]

    @property
    def leader(self) -> Cell | None:
        """The cell with the best accuracy."""
        with_best = [cell for cell in self.cells if cell.best is not None]
        return max(with_best, key=lambda cell: cell.best or 0.0, default=None)


def grid_of(
    best: pd.DataFrame,
    axes: Sequence[str],
    epochs: pd.Series,
    seeds: Sequence[int],
    finished: pd.DataFrame,
    others: pd.DataFrame,
    decided: dict[int, str],
    *,
    is_running: bool,
) -> Grid:
    """Put every trial in its place.

    Args:
        best: best of seeds, a row a cell.
        axes: its columns that tell cells apart.
        epochs: of a trial, by cell.
        seeds: those that the spec wants for certain; others are added where they have trials.
        finished: ``cell``, ``seed``, ``outcome``, ``run_id``, ``best_test_accuracy``.
        others: ``cell``, ``seed``, ``status``, ``started``, ``run_id``, ``best``, ``epoch``; where
            a trial has several runs, one that runs counts, else the newest.
        decided: verdicts by cell.
        is_running: whether trials that have no run wait for one.
    """
    places: dict[int, dict[int, Place]] = {cell: {} for cell in range(len(best))}
    order = others.assign(runs=others["status"] == "RUNNING").sort_values(["runs", "started"])
    for row in order.to_dict("records"):
        state = _OF_MLFLOW.get(row["status"], "waiting")
        places[row["cell"]][row["seed"]] = Place(
            state, row["run_id"], _number(row["best"]), int(row["epoch"])
        )
    for cell, seed, outcome, run_id, accuracy in zip(
        *(finished[name] for name in ("cell", "seed", "outcome", "run_id", BEST_TEST_ACCURACY)),
        strict=True,
    ):
        state = outcome if outcome in ("collapsed", "diverged") else "completed"
        places[cell][seed] = Place(state, run_id, _number(accuracy))
    begun = sorted({seed for found in places.values() for seed in found} - set(seeds))
    columns = [*seeds, *begun]
    certain = set(seeds)
    rows = best.to_dict("records")
    cells = [
        Cell(
            number,
            {axis: as_text(row[axis]) for axis in axes if not pd.isna(row[axis])},
            {
                seed: places[number].get(seed, _WAITING if is_running else _MISSING)
                for seed in columns
                if seed in certain or seed in places[number]
            },
            mean=_number(row["mean"]),
            low=_number(row["ci_low"]),
            high=_number(row["ci_high"]),
            best=_number(row["best"]),
            lack=shortfall(row),
            epochs=plain(epochs.iloc[number]),
            verdict=decided.get(number, ""),
        )
        for number, row in enumerate(rows)
    ]
    return Grid(list(axes), columns, cells)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)


def _scale(accuracies: list[float | None]) -> tuple[float, float]:
    """Round ends of a scale for these, which a further trial seldom moves."""
    known = [one for one in accuracies if one is not None and math.isfinite(one)]
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    step = next(s for s in (0.02, 0.05, 0.1, 0.2, 1.0) if high - low <= 5 * s or s == 1.0)
    low, high = math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step
    return (low, min(high, 1.0)) if high > low else (max(low - step, 0.0), min(low + step, 1.0))
