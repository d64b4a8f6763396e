"""The headline: each network with no norm, its standard one and the homeostatic one. Pure.

The layout is that of the published table, with the dependency gap as a column of its own. A number
whose cell lacks something carries the letter of a note that says what.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from orchestration.report.table import (
    Table,
    TableCell,
    as_text,
    axis_columns,
    decimal,
    lacks_of,
    letter,
    percent,
)
from orchestration.results.selection import SELECTED_ON, remark
from snn_norm.norms.table import label_of, standard_norm

__all__ = ["NETWORKS", "headline", "headline_cells"]

NETWORKS = {"ann": "artificial CNN", "snn": "spiking CNN"}

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
    keys = axis_columns(gap)
    rows: dict[tuple[Any, ...], dict[str, int]] = {}
    for number, cell in enumerate(best.to_dict("records")):
        rows.setdefault(_setting(cell, keys), {})[cell["norm"]] = number
    found = []
    for row in gap.to_dict("records"):
        norms = rows.get(_setting(row, keys), {})
        standard = standard_norm(row["architecture"], norms)
        found.append(
            {
                "none": norms.get("none"),
                "standard": norms.get(standard or ""),
                "homeostatic": norms.get("homeostatic"),
            }
        )
    return found


def _setting(row: Mapping[Hashable, Any], keys: list[str]) -> tuple[Any, ...]:
    return tuple(None if pd.isna(row[key]) else row[key] for key in keys)


def headline(best: pd.DataFrame, gap: pd.DataFrame) -> Table:
    """Lay out the headline.

    Args:
        best: best of seeds.
        gap: the dependency gap of the same sweep.
    """
    axes = axis_columns(gap)[1:]
    lacks = lacks_of(best)
    notes: list[str] = []

    def mark(*cells: int | None) -> str:
        """The letters of the notes for what these cells lack."""
        lacking = [lacks[cell] for cell in cells if cell is not None and lacks[cell]]
        notes.extend(lack for lack in dict.fromkeys(lacking) if lack not in notes)
        return ",".join(sorted({letter(notes.index(lack)) for lack in lacking}))

    rows = []
    for row, cells in zip(gap.to_dict("records"), headline_cells(best, gap), strict=True):
        line = [TableCell(NETWORKS.get(row["architecture"], row["architecture"]))]
        line += [TableCell(as_text(row[axis])) for axis in axes]
        for column in _COLUMNS:
            number, cell = percent(row[column]), cells[column]
            after = "\N{NO-BREAK SPACE}%" if cell is not None and not pd.isna(row[column]) else ""
            if column == "standard" and after and cell is not None:
                norm = best["norm"].iloc[cell]
                after += f"\N{NO-BREAK SPACE}({label_of(norm)})"
            line.append(TableCell(number, after, mark(cell)))
        if pd.isna(row["gap_pp"]):
            line.append(TableCell(decimal(row["gap_pp"])))
        else:
            lacking = mark(cells["none"], cells["standard"])
            line.append(TableCell(decimal(row["gap_pp"]), "\N{NO-BREAK SPACE}pp", lacking))
        rows.append(line)
    headings = ["network", *axes, "no norm", "standard norm", "homeostatic", "dependency gap"]
    numeric = [False, *([True] * len(axes)), True, True, True, True]
    return Table(headings, rows, numeric, tuple(notes), remark(gap[SELECTED_ON]))
