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

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.page.drawing.scale import ends_of, near_the_best
from orchestration.render.series_style import display_name
from orchestration.render.table import as_text
from orchestration.results.columns import plain, shortfall

_OF_MLFLOW = {"RUNNING": "running", "SCHEDULED": "running", "FAILED": "failed", "KILLED": "stopped"}


@dataclass(frozen=True)
class Place:
    """A trial: where one cell and one seed meet.

    Args:
        state: completed, collapsed, diverged, running, failed, stopped or waiting; missing where
            the sweep does not run.
        run_id: of its run; empty where it has none.
        value: the best of the metric so far; None where there is none.
        epoch: how many are done, of a trial that is not finished.
    """

    state: str
    run_id: str = ""
    value: float | None = None
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
        mean, low, high: of the metric, of its finished seeds; None where there is none.
        best: of them.
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
        metric: what its trials are judged by.
        series: the axis whose values are compared, and colours tell apart.
        is_ours: whether its trials train this package's networks.
        low, high: the ends of the colour scale, of the metric.
        is_clipped: whether some trials are worse than its worse end.
    """

    axes: list[str]
    seeds: list[int]
    cells: list[Cell]
    metric: Metric = TEST_ACCURACY
    series: str = "norm"
    is_ours: bool = True
    low: float = field(init=False)
    high: float = field(init=False)
    is_clipped: bool = field(init=False)

    def __post_init__(self) -> None:
        known = [p.value for p in self.places() if p.state == "completed" and p.value is not None]
        finite = [value for value in known if math.isfinite(value)]
        shown = near_the_best(finite, self.metric)
        low, high = ends_of(shown, self.metric)
        object.__setattr__(self, "is_clipped", len(shown) < len(finite))
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    def places(self) -> Iterator[Place]:
        """Every trial."""
        for cell in self.cells:
            yield from cell.places.values()

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(place.state in states for place in self.places())

    def name(self, cell: Cell) -> str:
        """A cell's norm, or its value of what else is compared, in words."""
        return display_name(self.series, cell.values.get(self.series, ""), is_ours=self.is_ours)

    def setting(self, cell: Cell) -> str:
        """All else of a cell in words; empty where there is nothing else."""
        unnamed = "architecture" if self.is_ours else None
        words = [
            value if axis == unnamed else f"{axis} {value}"
            for axis, value in cell.values.items()
            if axis != self.series
        ]
        return ", ".join(words)

    def label(self, cell: Cell) -> str:
        """A cell in words."""
        return ", ".join(filter(None, [self.setting(cell), self.name(cell)]))

    def share(self, value: float) -> float:
        """How far up the colour scale a value stands: 0 at its worse end, 1 at its better one."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return share if self.metric.sign > 0 else 1 - share

    def better(self, cell: Cell) -> float:
        """A cell's best, so that more of it is better; of a cell without, the least."""
        return -math.inf if cell.best is None else self.metric.sign * cell.best

    def settings(self) -> dict[tuple[tuple[str, str], ...], list[Cell]]:
        """Cells that differ in nothing but what is compared, together."""
        found: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
        for cell in self.cells:
            setting = tuple(pair for pair in cell.values.items() if pair[0] != self.series)
            found.setdefault(setting, []).append(cell)
        return found

    def drawn(self) -> list[list[Cell]]:
        """The settings whose curves are drawn: all, or of many those with the best cells."""
        settings = list(self.settings().values())
        ranked = sorted(settings, key=lambda cells: -max(map(self.better, cells)))
        kept = {id(cells) for cells in ranked[:MOST_DRAWN]}
        return [cells for cells in settings if id(cells) in kept]

    @property
    def leader(self) -> Cell | None:
        """The cell with the best value."""
        with_best = [cell for cell in self.cells if cell.best is not None]
        return max(with_best, key=self.better, default=None)


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
    metric: Metric = TEST_ACCURACY,
    series: str = "norm",
    is_ours: bool = True,
) -> Grid:
    """Put every trial in its place.

    Args:
        best: best of seeds, a row a cell.
        axes: its columns that tell cells apart.
        epochs: of a trial, by cell.
        seeds: those that the spec wants for certain; others are added where they have trials.
        finished: ``cell``, ``seed``, ``outcome``, ``run_id``, and the metric's best.
        others: ``cell``, ``seed``, ``status``, ``started``, ``run_id``, ``best``, ``epoch``; where
            a trial has several runs, one that runs counts, else the newest.
        decided: verdicts by cell.
        is_running: whether trials that have no run wait for one.
        metric, series, is_ours: as of Grid.
    """
    places: dict[int, dict[int, Place]] = {cell: {} for cell in range(len(best))}
    order = others.assign(runs=others["status"] == "RUNNING").sort_values(["runs", "started"])
    for row in order.to_dict("records"):
        state = _OF_MLFLOW.get(row["status"], "waiting")
        places[row["cell"]][row["seed"]] = Place(
            state, row["run_id"], _number(row["best"]), int(row["epoch"])
        )
    for cell, seed, outcome, run_id, value in zip(
        *(finished[name] for name in ("cell", "seed", "outcome", "run_id", metric.best_name)),
        strict=True,
    ):
        state = outcome if outcome in ("collapsed", "diverged") else "completed"
        places[cell][seed] = Place(state, run_id, _number(value))
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
    return Grid(list(axes), columns, cells, metric, series, is_ours)


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
