"""The headline: each network with no norm, its standard one and the homeostatic one.

The layout is that of the published table, with the dependency gap as a column of its own. A number
whose cell lacks something carries the letter of a note that says what.
"""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.series_style import NETWORKS
from orchestration.render.table import NO_NUMBER, Table, TableCell, as_text, decimal, is_numeric
from orchestration.render.visible import visible
from orchestration.results.columns import (
    SELECTED_ON,
    axis_columns,
    letter,
    remark,
    shortfall,
    unequal_seeds,
)
from orchestration.results.effects.norm_effects import Setting, settings_of
from orchestration.tables.definition import Section, TableDefinition, Terminal
from orchestration.tables.dependency_gap import gap_with_standard_norm
from orchestration.tables.report_data import ReportData
from snn_norm.norms.table import label_of

_COLUMNS = {"none": "no norm", "standard": "standard norm", "homeostatic": "homeostatic"}


def _shown(best: pd.DataFrame) -> list[Setting]:
    """The settings that have a number."""
    return [
        setting
        for setting in settings_of(best, axis_columns(best))
        if not all(math.isnan(setting.best(norm)) for norm in setting.columns.values())
    ]


def _build(best: pd.DataFrame, metric: Metric) -> Table:
    axes = [axis for axis in axis_columns(best) if axis not in ("architecture", "norm")]
    notes: list[str] = []
    numbers: list[int] = []
    rows = []
    for setting in _shown(best):
        norms = setting.columns
        cells = {norm: setting.cells[norm] for norm in norms.values() if norm in setting.cells}
        lacks = {norm: shortfall(cell) for norm, cell in cells.items()}
        notes += [lack for lack in dict.fromkeys(lacks.values()) if lack and lack not in notes]
        marks = {norm: letter(notes.index(lack)) if lack else "" for norm, lack in lacks.items()}
        architecture = setting.values["architecture"]
        line = [TableCell(NETWORKS.get(architecture, visible(as_text(architecture))))]
        line += [TableCell(visible(as_text(setting.values[axis]))) for axis in axes]
        for column, norm in norms.items():
            number = metric.number(setting.best(norm))
            if norm is None or norm not in cells:
                line.append(TableCell(number))
                continue
            after = "" if number == NO_NUMBER else "\N{NO-BREAK SPACE}%"
            if column == "standard" and after:
                after += f"\N{NO-BREAK SPACE}({visible(label_of(norm))})"
            line.append(TableCell(number, after, marks[norm]))
        gap = decimal(setting.gap(setting.standard))
        if gap == NO_NUMBER:
            line.append(TableCell(gap))
        else:
            lacking = {marks[norm] for norm in (norms["none"], norms["standard"]) if norm}
            mark = ",".join(sorted(filter(None, lacking)))
            line.append(TableCell(gap, "\N{NO-BREAK SPACE}pp", mark))
        numbers += [setting.numbers[norm] for norm in cells]
        rows.append(line)
    headings = ["network", *axes, *_COLUMNS.values(), "dependency gap"]
    numeric = [False, *(is_numeric(best[axis]) for axis in axes), True, True, True, True]
    of_these = best.iloc[numbers]  # other tables have the other norms
    unequal = unequal_seeds(best) if of_these["n_seeds"].nunique() > 1 else ""
    sentences = " ".join(filter(None, [unequal, remark(of_these[SELECTED_ON])]))
    return Table(headings, rows, numeric, tuple(notes), sentences)


def _links(data: ReportData, best: pd.DataFrame) -> dict[str, list[str]]:
    settings = _shown(best)
    return {
        heading: [
            data.best_run_url(setting.numbers[norm]) if norm in setting.numbers else ""
            for setting in settings
            for norm in [setting.columns[column]]
        ]
        for column, heading in _COLUMNS.items()
    }


def _ratio(data: ReportData) -> str:
    """How much more a spiking network depends on its norm, in a sentence; empty if not known."""
    gap, best = data.once(gap_with_standard_norm), data.best
    known = gap[(gap["architecture"] == "snn") & gap["ratio"].notna()] if len(gap) else gap
    if len(known) != 1:
        return ""
    text = f"The spiking network's gap is {known['ratio'].iloc[0]:.1f} times the artificial one's."
    incomplete = (best["n_seeds"] > 0) & (best["n_seeds"] < best["n_expected"])
    return f"{text} Not every seed has finished." if incomplete.any() else text


TABLE = TableDefinition(
    frame=lambda data: data.best,
    kind=NetworkSweep,
    build=_build,
    links=_links,
    exported=gap_with_standard_norm,
    section=Section(
        "headline",
        "Headline",
        "Test accuracy of the best seed in its best epoch, as such tables are published. The "
        "dependency\ngap is the standard norm less no norm, in percentage points.",
        link="Headline",
        kind="headline",
        sentence=_ratio,
    ),
    terminal=Terminal("The headline, and the dependency gap: standard norm minus none"),
)
