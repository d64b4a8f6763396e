"""A sweep as its page shows it: a grid of cells and seeds, with the status of every trial. Pure.

Finished trials come from a snapshot of the results, the others from their own, small records.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.status import FINISHED_STATES, TrialStatus
from orchestration.model.sweep_kind import NETWORKS, SweepKind
from orchestration.page.drawing.scale import ends_of, near_the_best
from orchestration.page.drawing.text import last_lines
from orchestration.page.finished import certain_seeds, decided, trials_by_seed
from orchestration.reading.records import Records
from orchestration.record.names import LABEL_TAG, REASON_TAG
from orchestration.render.table import as_text
from orchestration.results.columns import plain, shortfall
from orchestration.tables.report_data import ReportData

_OF_MLFLOW = {"RUNNING": "running", "SCHEDULED": "running", "FAILED": "failed", "KILLED": "stopped"}


MOST_DRAWN = 12
"""How many settings have their curves and spike rates shown."""


@dataclass(frozen=True)
class Cell:
    """A row of the grid.

    Args:
        number: its row in the table of best of seeds.
        values: its value on each axis that it has, as text.
        trials: the status of each of its trials, by seed.
        mean, low, high: of the metric over its finished seeds; None if there are too few.
        lack: which of its results are missing, in words.
        epochs: the epochs of each of its trials; None if unknown.
    """

    number: int
    values: dict[str, str]
    trials: dict[int, TrialStatus]
    mean: float | None
    low: float | None
    high: float | None
    best: float | None
    lack: str
    epochs: int | None
    verdict: str = ""

    def count(self, *states: str) -> int:
        """How many of its trials are in one of these states."""
        return sum(trial.state in states for trial in self.trials.values())

    @property
    def finished(self) -> int:
        """How many of its trials have their result."""
        return self.count(*FINISHED_STATES)


@dataclass(frozen=True)
class Grid:
    """The cells of a sweep.

    Args:
        low, high: the ends of the colour scale, as values of the metric.
        is_clipped: whether some trials are worse than the worse end of the scale.
    """

    axes: list[str]
    seeds: list[int]
    cells: list[Cell]
    metric: Metric = TEST_ACCURACY
    kind: SweepKind = NETWORKS
    low: float = field(init=False)
    high: float = field(init=False)
    is_clipped: bool = field(init=False)

    def __post_init__(self) -> None:
        completed = [trial for _, _, trial in self.trials() if trial.state == "completed"]
        known = [trial.best for trial in completed if trial.best is not None]
        finite = [value for value in known if math.isfinite(value)]
        shown = near_the_best(finite, self.metric)
        low, high = ends_of(shown, self.metric)
        object.__setattr__(self, "is_clipped", len(shown) < len(finite))
        object.__setattr__(self, "low", low)
        object.__setattr__(self, "high", high)

    @property
    def series(self) -> str:
        """The axis whose values are compared, and drawn in different colours."""
        return self.kind.series(self.axes)

    def trials(self) -> Iterator[tuple[Cell, int, TrialStatus]]:
        """Every trial, after its cell and its seed."""
        for cell in self.cells:
            for seed, trial in cell.trials.items():
                yield cell, seed, trial

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(cell.count(*states) for cell in self.cells)

    def name(self, cell: Cell) -> str:
        """A cell's norm, or another value that is compared, in words."""
        return self.kind.series_name(self.series, cell.values.get(self.series, ""))

    def setting(self, cell: Cell) -> str:
        """The other axes of a cell in words; empty if there are none."""
        words = [
            value if axis in self.kind.unnamed_axes else f"{axis} {value}"
            for axis, value in cell.values.items()
            if axis != self.series
        ]
        return ", ".join(words)

    def label(self, cell: Cell) -> str:
        """A cell in words."""
        return ", ".join(filter(None, [self.setting(cell), self.name(cell)]))

    def trial_label(self, cell: Cell, seed: int) -> str:
        """A trial in words."""
        return f"{self.label(cell)}, seed {seed}"

    def share(self, value: float) -> float:
        """The position of a value on the colour scale: 0 is the worse end, 1 the better one."""
        share = (value - self.low) / ((self.high - self.low) or 1.0)
        return share if self.metric.sign > 0 else 1 - share

    def better(self, cell: Cell) -> float:
        """A cell's best value, signed so that larger is better; minus infinity if it has none."""
        return -math.inf if cell.best is None else self.metric.sign * cell.best

    def settings(self) -> dict[tuple[tuple[str, str], ...], list[Cell]]:
        """The cells by setting: those of one setting differ only in the compared value."""
        settings: dict[tuple[tuple[str, str], ...], list[Cell]] = {}
        for cell in self.cells:
            setting = tuple(pair for pair in cell.values.items() if pair[0] != self.series)
            settings.setdefault(setting, []).append(cell)
        return settings

    def drawn(self) -> list[list[Cell]]:
        """The settings whose curves are drawn; of many settings, those with the best cells."""
        settings = list(self.settings().values())
        ranked = sorted(settings, key=lambda cells: -max(map(self.better, cells)))
        kept = {id(cells) for cells in ranked[:MOST_DRAWN]}
        return [cells for cells in settings if id(cells) in kept]

    @property
    def leader(self) -> Cell | None:
        """The cell with the best value."""
        with_best = [cell for cell in self.cells if cell.best is not None]
        return max(with_best, key=self.better, default=None)


def grid_of(data: ReportData, others: pd.DataFrame, *, is_running: bool) -> Grid:
    """Find the status of every trial that a sweep wants.

    Args:
        others: of the other runs, ``cell``, ``seed``, ``status``, ``started``, ``run_id``, ``best``
            and ``epoch``; of several runs of a trial, one that is running counts, else the newest.
        is_running: whether trials without a run wait for one.
    """
    cells, verdicts = data.sweep.cells, data.once(decided)
    trials: dict[int, dict[int, TrialStatus]] = {cell: {} for cell in range(len(data.best))}
    order = others.assign(runs=others["status"] == "RUNNING").sort_values(["runs", "started"])
    for row in order.to_dict("records"):
        trials[row["cell"]][row["seed"]] = TrialStatus(
            _OF_MLFLOW.get(row["status"], "waiting"),
            epoch=int(row["epoch"]),
            best=_number(row["best"]),
            run_id=row["run_id"],
        )
    columns = ("cell", "seed", "outcome", "run_id", cells.metric.best_name)
    for cell, seed, outcome, run_id, best in zip(
        *(data.once(trials_by_seed)[name] for name in columns), strict=True
    ):
        state = outcome if outcome in ("collapsed", "diverged") else "completed"
        trials[cell][seed] = TrialStatus(state, best=_number(best), run_id=run_id)
    certain = data.once(certain_seeds)
    begun = sorted({seed for of_cell in trials.values() for seed in of_cell} - set(certain))
    without_run = TrialStatus("waiting" if is_running else "missing")
    rows = [
        Cell(
            number,
            {axis: as_text(row[axis]) for axis in cells.axes if not pd.isna(row[axis])},
            {
                seed: trials[number].get(seed, without_run)
                for seed in [*certain, *(seed for seed in begun if seed in trials[number])]
            },
            mean=_number(row["mean"]),
            low=_number(row["ci_low"]),
            high=_number(row["ci_high"]),
            best=_number(row["best"]),
            lack=shortfall(row),
            epochs=plain(cells.table["epochs"].iloc[number]),
            verdict=verdicts.get(number, ""),
        )
        for number, row in enumerate(data.best.to_dict("records"))
    ]
    return Grid(list(cells.axes), [*certain, *begun], rows, cells.metric, cells.kind)


def failures_of(others: Records) -> list[tuple[str, TrialStatus]]:
    """The failed and stopped trials among the unfinished ones, the newest first, with labels."""
    ended = others.runs[others.runs["status"].isin(["FAILED", "KILLED"])]
    newest = ended.sort_values("finished", ascending=False, na_position="last")
    tags = {(run_id, tag): text for run_id, tag, text in others.tag_rows((REASON_TAG, LABEL_TAG))}
    return [
        (
            tags.get((run_id, LABEL_TAG), run_id),
            TrialStatus(
                _OF_MLFLOW[status],
                run_id=run_id,
                error=last_lines(tags.get((run_id, REASON_TAG), "")),
            ),
        )
        for run_id, status in zip(newest.index.tolist(), newest["status"], strict=True)
    ]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
