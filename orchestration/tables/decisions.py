"""The verdicts of declared comparisons."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import (
    Column,
    Row,
    axes_of,
    columns_before,
    interval,
    metric_interval,
    number,
    words,
)
from orchestration.render.table import NO_NUMBER, decimal, hours_in_words
from orchestration.results.deciding.decisions import UNCOUNTED
from orchestration.tables.definition import CellFinder, Macros, Section, TableDefinition, Terminal
from orchestration.tables.norm_differences import P_HOLM, PAIRS
from orchestration.tables.report_data import ReportData


def _frame(data: ReportData) -> pd.DataFrame | None:
    return data.sweep.decisions() if data.sweep.has_decisions else None


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return [
        *axes_of(frame, columns_before(frame, "compared")),
        words("is", "verdict", marked=True),
        words("than / as", "against"),
        *(
            [
                number("by pp", "difference_pp", decimal),
                interval("interval pp", "ci_low_pp", "ci_high_pp"),
            ]
            if metric.is_fraction
            else [
                number("by", "difference", metric.number),
                metric_interval("interval", "ci_low", "ci_high", metric),
            ]
        ),
        number("e-value", "e_value", lambda e: NO_NUMBER if math.isnan(e) else f"{e:.3g}"),
        P_HOLM,
        PAIRS,
    ]


def _missing(decision: Row) -> str:
    """What an undecided comparison lacks."""
    if decision["verdict"] != "undecided":
        return ""
    more, hours = decision["more_seeds"], decision["more_hours"]
    if pd.isna(more):
        return "undecided; nobody can tell how many more seeds would decide it"
    seeds = f"about {more} more seed{'s' if more > 1 else ''}"
    if not pd.isna(hours):
        seeds += f", {hours_in_words(hours)} {decision['hours_of']} hours,"
    return f"undecided; {seeds} would decide it, if they are as those so far"


def _note(decision: Row) -> str:
    uncounted = decision.get(UNCOUNTED, 0)
    counted = f"{uncounted} of its pairs do not count: a trial failed" if uncounted else ""
    return "; ".join(filter(None, [_missing(decision), counted]))


def _numbers(metric: Metric) -> list[str]:
    differences = map(metric.difference, ("difference", "ci_low", "ci_high"))
    return [*differences, "n_pairs", "p_holm", "verdict"]


def _cells(cells: CellFinder, _index: int, row: Row) -> tuple[int, ...]:
    return (*cells.find(row), *cells.find(row, str(row["compared"]), [row["against"]]))


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    note=_note,
    macros=[
        Macros(
            _numbers,
            _cells,
            against=lambda row: f"decided against {row['compared']} {row['against']}",
        )
    ],
    section=Section(
        "decisions",
        "Decisions",
        "The comparisons that were declared before the first trial. Seeds were trained until each "
        "was decided:\nthe intervals and the p, corrected by Holm, hold at every look.",
        link="Decisions",
    ),
    terminal=Terminal(
        "Declared comparisons: what the first cell is, by pairs of seeds", is_first=True
    ),
)
