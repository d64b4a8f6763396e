"""All that a report is made of, read once: a sweep's trials, curves and cells, put together."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.report.headline import NETWORKS
from orchestration.report.table import as_text, axis_columns
from orchestration.results.dependency_gap import dependency_gap
from orchestration.results.norm_differences import norm_differences
from orchestration.results.results import Results
from snn_norm.norms.table import label_of

__all__ = ["Answers", "read_answers"]


@dataclass(frozen=True)
class Answers:
    """A sweep's answers, of the trials that its spec wants.

    Args:
        name: the sweep's.
        best: best of seeds, a row a cell; the index numbers the cells.
        gap: the dependency gap.
        last: as ``best``, of the last epoch.
        expected: what a best of n seeds is worth, by cell and n.
        differences: between norms, paired by seed.
        trials: finished trials, with the number of their ``cell``, in order of cell and seed.
        curves: a row a (trial, epoch), with the number of its ``cell``, in the same order.
    """

    name: str
    best: pd.DataFrame
    gap: pd.DataFrame
    last: pd.DataFrame
    expected: pd.DataFrame
    differences: pd.DataFrame
    trials: pd.DataFrame
    curves: pd.DataFrame

    @property
    def axes(self) -> list[str]:
        """What tells cells apart."""
        return axis_columns(self.best)

    def norm(self, cell: int) -> str:
        """A cell's norm."""
        return str(self.best["norm"].iloc[cell])

    def setting(self, cell: int) -> str:
        """A cell's network and further axes, in words: everything but its norm."""
        row = self.best.iloc[cell]
        network = NETWORKS.get(row["architecture"], row["architecture"])
        others = [axis for axis in self.axes if axis not in ("architecture", "norm")]
        given = [f"{axis} {as_text(row[axis])}" for axis in others if not pd.isna(row[axis])]
        return ", ".join([network, *given])

    def label(self, cell: int) -> str:
        """A cell in words."""
        return f"{self.setting(cell)}, {label_of(self.norm(cell))}"


def read_answers(results: Results) -> Answers:
    """Read a sweep, and find each trial's cell."""
    best, trials = results.best_of_seeds(), results.trials()
    axes = axis_columns(best)
    numbers = {_key(row, axes): number for number, row in enumerate(best.to_dict("records"))}
    trials = trials[trials["in_spec"]].reset_index(drop=True)
    cells = [numbers[_key(row, axes)] for row in trials.to_dict("records")]
    trials = trials.assign(cell=pd.Series(cells, trials.index, dtype="int64"))
    trials = trials.sort_values("cell", kind="stable", ignore_index=True)
    curves = results.curves().merge(trials[["run_id", "cell"]], on="run_id")
    curves = curves.sort_values("cell", kind="stable", ignore_index=True)
    return Answers(
        name=results.name,
        best=best,
        gap=dependency_gap(best, axes),
        last=results.last_epoch(),
        expected=results.expected_best(),
        differences=norm_differences(results.by_seed(), axes, BEST_TEST_ACCURACY),
        trials=trials,
        curves=curves,
    )


def _key(row: Mapping[Hashable, Any], axes: list[str]) -> tuple[Any, ...]:
    """A cell's values, alike for 10, 10.0 and "10": frames may type a column differently."""
    return tuple(_plain(row.get(axis)) for axis in axes)


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    text = str(value).lower()
    try:
        return float(text)
    except ValueError:
        return text
