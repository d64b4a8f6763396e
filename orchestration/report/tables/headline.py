"""The headline: each network with no norm, its standard one and the homeostatic one. Pure.

The layout is that of the published table, with the dependency gap as a column of its own. A number
whose cell lacks something carries the letter of a note that says what.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import pandas as pd

from orchestration.report.tables.table import (
    NO_NUMBER,
    Table,
    TableCell,
    as_text,
    decimal,
    is_numeric,
    letter,
    percent,
)
from orchestration.results.columns import (
    SELECTED_ON,
    axis_columns,
    remark,
    shortfall,
    unequal_seeds,
)
from orchestration.results.effects.norm_effects import settings_of
from snn_norm.norms.table import label_of

__all__ = ["NETWORKS", "headline"]

NETWORKS = {"ann": "artificial CNN", "snn": "spiking CNN"}


def headline(best: pd.DataFrame, url: Callable[[int], str] = lambda _: "") -> Table:
    """Lay out the headline; a setting without a number is left out.

    Args:
        best: best of seeds.
        url: where the number of a cell, a row of ``best``, leads to.
    """
    axes = [axis for axis in axis_columns(best) if axis not in ("architecture", "norm")]
    notes: list[str] = []
    shown: list[int] = []
    rows = []
    for setting in settings_of(best, axis_columns(best)):
        norms = setting.columns
        if all(math.isnan(setting.best(norm)) for norm in norms.values()):
            continue
        cells = {norm: setting.cells[norm] for norm in norms.values() if norm in setting.cells}
        lacks = {norm: shortfall(cell) for norm, cell in cells.items()}
        notes += [lack for lack in dict.fromkeys(lacks.values()) if lack and lack not in notes]
        marks = {norm: letter(notes.index(lack)) if lack else "" for norm, lack in lacks.items()}
        architecture = setting.values["architecture"]
        line = [TableCell(NETWORKS.get(architecture, as_text(architecture)))]
        line += [TableCell(as_text(setting.values[axis])) for axis in axes]
        for column, norm in norms.items():
            number = percent(setting.best(norm))
            if norm is None or norm not in cells:
                line.append(TableCell(number))
                continue
            after = "" if number == NO_NUMBER else "\N{NO-BREAK SPACE}%"
            if column == "standard" and after:
                after += f"\N{NO-BREAK SPACE}({label_of(norm)})"
            line.append(TableCell(number, after, marks[norm], href=url(setting.numbers[norm])))
        gap = decimal(setting.gap(setting.standard))
        if gap == NO_NUMBER:
            line.append(TableCell(gap))
        else:
            lacking = {marks[norm] for norm in (norms["none"], norms["standard"]) if norm}
            mark = ",".join(sorted(filter(None, lacking)))
            line.append(TableCell(gap, "\N{NO-BREAK SPACE}pp", mark))
        shown += [setting.numbers[norm] for norm in cells]
        rows.append(line)
    headings = ["network", *axes, "no norm", "standard norm", "homeostatic", "dependency gap"]
    numeric = [False, *(is_numeric(best[axis]) for axis in axes), True, True, True, True]
    of_these = best.iloc[shown]  # other norms, and how many seeds they have, are in other tables
    unequal = unequal_seeds(best) if of_these["n_seeds"].nunique() > 1 else ""
    told = " ".join(filter(None, [unequal, remark(of_these[SELECTED_ON])]))
    return Table(headings, rows, numeric, tuple(notes), told)
