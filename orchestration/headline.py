"""The headline: each network with no norm, its standard one and the homeostatic one. Pure.

The layout is that of the published table, with the dependency gap as a column of its own. A number
whose cell lacks something carries the letter of a note that says what.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from orchestration.gap import STANDARD_NORMS
from orchestration.selection import SELECTED_ON, remark
from orchestration.shown import Cell, Shown, as_text, axes_of, decimal, lacks_of, letter, percent

__all__ = ["NETWORKS", "NORMS", "headline", "headline_cells"]

NETWORKS = {"ann": "artificial CNN", "snn": "spiking CNN"}
NORMS = {"none": "no norm", "batchnorm": "BatchNorm", "bntt": "BNTT"}

_COLUMNS = ("none", "standard", "homeostatic")


def headline_cells(best: pd.DataFrame, gap: pd.DataFrame) -> list[dict[str, int | None]]:
    """Which row of best of seeds each number of the headline comes from.

    Args:
        best: best of seeds.
        gap: the dependency gap of the same sweep.

    Returns:
        For each row of ``gap``, by column (none, standard, homeostatic), the number of a row of
        ``best``; None where the sweep has no such cell.
    """
    keys = axes_of(gap)
    rows: dict[tuple[Any, ...], dict[str, int]] = {}
    for number, cell in enumerate(best.to_dict("records")):
        rows.setdefault(_setting(cell, keys), {})[cell["norm"]] = number
    found = []
    for row in gap.to_dict("records"):
        norms = rows.get(_setting(row, keys), {})
        standard = STANDARD_NORMS.get(row["architecture"]) or next(
            (norm for norm in STANDARD_NORMS.values() if norm in norms), ""
        )
        found.append(
            {
                "none": norms.get("none"),
                "standard": norms.get(standard),
                "homeostatic": norms.get("homeostatic"),
            }
        )
    return found


def _setting(row: Mapping[Hashable, Any], keys: list[str]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[key]) else row[key] for key in keys)


def headline(best: pd.DataFrame, gap: pd.DataFrame) -> Shown:
    """Lay out the headline.

    Args:
        best: best of seeds.
        gap: the dependency gap of the same sweep.
    """
    axes = axes_of(gap)[1:]
    lacks = lacks_of(best)
    notes: list[str] = []

    def mark(*cells: int | None) -> str:
        """The letters of the notes for what these cells lack."""
        lacking = [lacks[cell] for cell in cells if cell is not None and lacks[cell]]
        notes.extend(lack for lack in dict.fromkeys(lacking) if lack not in notes)
        return ",".join(sorted({letter(notes.index(lack)) for lack in lacking}))

    rows = []
    for row, cells in zip(gap.to_dict("records"), headline_cells(best, gap), strict=True):
        line = [Cell(NETWORKS.get(row["architecture"], row["architecture"]))]
        line += [Cell(as_text(row[axis])) for axis in axes]
        for column in _COLUMNS:
            number, cell = percent(row[column]), cells[column]
            after = "\N{NO-BREAK SPACE}%" if cell is not None and not pd.isna(row[column]) else ""
            if column == "standard" and after and cell is not None:
                norm = best["norm"].iloc[cell]
                after += f"\N{NO-BREAK SPACE}({NORMS.get(norm, norm)})"
            line.append(Cell(number, after, mark(cell)))
        if pd.isna(row["gap_pp"]):
            line.append(Cell(decimal(row["gap_pp"])))
        else:
            lacking = mark(cells["none"], cells["standard"])
            line.append(Cell(decimal(row["gap_pp"]), "\N{NO-BREAK SPACE}pp", lacking))
        rows.append(line)
    headings = ["network", *axes, "no norm", "standard norm", "homeostatic", "dependency gap"]
    numeric = [False, *([True] * len(axes)), True, True, True, True]
    return Shown(headings, rows, numeric, tuple(notes), remark(gap[SELECTED_ON]))
