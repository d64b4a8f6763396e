"""The effects of norms: how much a network depends on one, and which one is better. Pure.

The dependency gap of an architecture is the accuracy with its standard norm minus the accuracy
without any norm, best of seeds, in percentage points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from orchestration.model.metric import TEST_ACCURACY
from orchestration.results.columns import SELECTED_ON, plain, shortfall
from orchestration.results.effects.differences import paired_rows
from orchestration.results.statistics import holm
from snn_norm.config import NOT_OF_ANN
from snn_norm.norms.table import standard_norm

_NAN = float("nan")


@dataclass
class Setting:
    """Cells that differ only in their norm.

    Args:
        values: the values that they share, by axis.
        cells: each norm's cell, which is a row of best of seeds.
        numbers: the numbers of these rows, by norm.
    """

    values: dict[str, Any]
    cells: dict[str, dict[Any, Any]] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)

    @property
    def standard(self) -> str | None:
        """The architecture's usual norm."""
        return standard_norm(self.values["architecture"], self.cells)

    @property
    def columns(self) -> dict[str, str | None]:
        """The norm in each column of the headline."""
        return {"none": "none", "standard": self.standard, "homeostatic": "homeostatic"}

    def best(self, norm: str | None) -> float:
        """A norm's best accuracy; NaN without a result."""
        return float(self.cells[norm]["best"]) if norm in self.cells else _NAN

    def gap(self, norm: str | None) -> float:
        """How much more accurate a norm is than no norm, in percentage points."""
        return 100 * (self.best(norm) - self.best("none"))

    def note(self, norms: Sequence[str | None]) -> str:
        """What these cells lack, in words, and whether their numbers of seeds differ."""
        cells = {norm: self.cells[norm] for norm in norms if norm in self.cells}
        lacks = {norm: shortfall(cell) for norm, cell in cells.items()}
        notes = [f"{norm}: {lack}" for norm, lack in lacks.items() if lack]
        seeds = {norm: int(cell["n_seeds"]) for norm, cell in cells.items() if cell["n_seeds"]}
        if len(set(seeds.values())) > 1:
            of_each = ", ".join(f"{norm} {n}" for norm, n in seeds.items())
            notes.append(f"best of unequal numbers of seeds: {of_each}")
        return "; ".join(notes)


def settings_of(best: pd.DataFrame, axes: Sequence[str]) -> list[Setting]:
    """Group the cells of best of seeds by setting, in their order.

    Args:
        best: one row per cell, from ``Results.best_of_seeds``.
        axes: the columns that distinguish cells.
    """
    keys = [axis for axis in axes if axis != "norm"]
    settings: dict[tuple[Any, ...], Setting] = {}
    for number, cell in enumerate(best.to_dict("records")):
        if pd.isna(cell["norm"]):  # another program recorded it
            continue
        values = {key: plain(cell[key]) for key in keys}
        setting = settings.setdefault(tuple(values.values()), Setting(values))
        setting.cells[cell["norm"]] = cell
        setting.numbers[cell["norm"]] = number
    return list(settings.values())


def dependency_gap(best: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Return an architecture's norms side by side.

    Args:
        best, axes: see :func:`settings_of`.

    Returns:
        One row per architecture and value of the other axes. ``docs/results.md`` has the columns.
    """
    settings = settings_of(best, axes)
    rows = [
        {
            **{column: setting.best(norm) for column, norm in setting.columns.items()},
            "gap_pp": setting.gap(setting.standard),
            "ratio": _ratio(setting, base),
            "note": _note(setting, list(setting.columns.values()), base),
            SELECTED_ON: _selected_on(setting),
        }
        for setting, base in zip(settings, _artificial(settings), strict=True)
    ]
    columns = ["none", "standard", "homeostatic", "gap_pp", "ratio", "note", SELECTED_ON]
    keys = [axis for axis in axes if axis != "norm"]
    first = best[keys].iloc[[min(setting.numbers.values()) for setting in settings]]
    return pd.concat(
        [first.reset_index(drop=True), pd.DataFrame(rows, columns=columns)], axis="columns"
    )


def norm_gaps(best: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Compare each norm with no norm.

    Args:
        best, axes: see :func:`settings_of`.

    Returns:
        One row per cell that has a norm, whose number is the index. ``docs/results.md`` has the
        columns.
    """
    settings = settings_of(best, axes)
    rows = {
        setting.numbers[norm]: {
            "none": setting.best("none"),
            "accuracy": setting.best(norm),
            "gap_pp": setting.gap(norm),
            "is_standard": norm == setting.standard,
            "ratio": _ratio(setting, base) if norm == setting.standard else _NAN,
            "note": _note(setting, ["none", norm], base if norm == setting.standard else None),
            SELECTED_ON: _selected_on(setting),
        }
        for setting, base in zip(settings, _artificial(settings), strict=True)
        for norm in setting.cells
        if norm != "none"
    }
    columns = ["none", "accuracy", "gap_pp", "is_standard", "ratio", "note", SELECTED_ON]
    table = pd.DataFrame(list(rows.values()), index=list(rows), columns=columns)
    return best[list(axes)].iloc[list(rows)].join(table.astype({"is_standard": "bool"}))


def _artificial(settings: Sequence[Setting]) -> list[Setting | None]:
    """The one artificial network that shares each setting's axes, if its gap is above zero."""

    def shared(setting: Setting) -> tuple[Any, ...]:
        own = ("architecture", *NOT_OF_ANN)
        return tuple(value for axis, value in setting.values.items() if axis not in own)

    known: dict[tuple[Any, ...], list[Setting]] = {}
    for setting in settings:
        if setting.values["architecture"] == "ann":
            known.setdefault(shared(setting), []).append(setting)
    bases: list[Setting | None] = []
    for setting in settings:
        artificial = known.get(shared(setting), [])
        base = artificial[0] if len(artificial) == 1 else None
        bases.append(base if base is not None and base.gap(base.standard) > 0 else None)
    return bases


def _ratio(setting: Setting, base: Setting | None) -> float:
    return _NAN if base is None else setting.gap(setting.standard) / base.gap(base.standard)


def _note(setting: Setting, norms: Sequence[str | None], base: Setting | None) -> str:
    """What these cells lack, and the cells of the network to which the ratio refers."""
    notes = [setting.note(norms)]
    if base is not None and base is not setting and (lack := base.note(["none", base.standard])):
        notes.append(f"ratio to ann, {lack}")
    return "; ".join(filter(None, notes))


def _selected_on(setting: Setting) -> Any:
    return next(iter(setting.cells.values()))[SELECTED_ON]  # all cells of a setting have the same


def norm_differences(seeds: pd.DataFrame, axes: Sequence[str], accuracy: str) -> pd.DataFrame:
    """Test all pairs of norms within a setting, paired by seed.

    Args:
        seeds, axes: see :func:`~orchestration.results.effects.differences.paired_rows`.

    Returns:
        One row per pair of norms. ``docs/results.md`` has the columns.
    """
    setting = [axis for axis in axes if axis != "norm"]
    rows = [
        {"norm": norm, "against": against, **row}
        for norm, against, row in paired_rows(seeds, axes, "norm", accuracy, TEST_ACCURACY)
    ]
    columns = ["norm", "against", "difference_pp", "ci_low_pp", "ci_high_pp", "n_pairs", "t", "p"]
    table = pd.DataFrame(rows, columns=[*setting, *columns, SELECTED_ON])
    table.insert(len(table.columns) - 1, "p_holm", holm(table["p"].to_numpy(float)))
    return table
