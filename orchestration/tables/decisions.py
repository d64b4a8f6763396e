"""The verdicts of declared comparisons."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import (
    Column,
    Row,
    axes_before,
    interval,
    metric_interval,
    number,
    words,
)
from orchestration.render.table import NO_NUMBER, decimal, hours_in_words
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.results.deciding.decisions import NULL_HYPOTHESIS, UNCOUNTED
from orchestration.results.deciding.verdicts import failures_in_words
from orchestration.tables.definition import CellFinder, Macros, Section, TableDefinition, Terminal
from orchestration.tables.norm_differences import P_HOLM, PAIRS

NULLS = {
    "exchangeable": "the two values of a seed are exchangeable, as what is compared makes no "
    "difference",
    "normal": "differences are normal around 0, and seeds fail equally often",
}
"""The null hypotheses, in words."""

PROMISE = (
    "The e-value and p, corrected by Holm, are against the null hypothesis below the table, and "
    "hold at every look. If the two values of a seed have equal means but distributions of "
    "different shape, they are not exchangeable, and may be told apart. Intervals hold at every "
    "look if differences are normal, and with the null hypothesis exchangeable also if what is "
    "compared shifts all values by the same amount, whatever their distribution."
)
"""The guarantees of verdicts, and their limits."""


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "compared"),
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
    """What would decide an undecided comparison, and which differences are excluded already."""
    if decision["verdict"] != "undecided":
        return ""
    more, hours = decision["more_seeds"], decision["more_hours"]
    if pd.isna(more):
        lacks = "nobody can tell how many more seeds would decide it"
    else:
        seeds = f"about {more} more seed{'s' if more > 1 else ''}"
        if not pd.isna(hours):
            seeds += f", {hours_in_words(hours)} {decision['hours_of']} hours,"
        lacks = f"{seeds} would decide it, if they are as those so far"
    share = decision["unseen_share"]
    if pd.isna(share):
        return f"undecided; {lacks}"
    is_fraction = "excluded_above_pp" in decision
    text = (
        f"{decimal(decision['excluded_above_pp'])} points"
        if is_fraction
        else f"{decision['excluded_above']:.4g}"
    )
    seeds = f"more than 1 seed in {math.floor(1 / share)}"
    return f"undecided: no difference above {text}, unless {seeds} fails; {lacks}"


def _basis(decision: Row) -> str:
    """The kind of evidence for a verdict, if it is not only the differences."""
    by, verdict = decision["decided_by"], decision["verdict"]
    if pd.isna(by) or (by == "differences" and verdict != "different"):
        return ""
    failed = failures_in_words(
        decision["n_failed"], decision["n_failed_against"], decision["n_pairs"]
    )
    if verdict == "different":
        return f"neither better nor worse: failures ({failed}) and means point apart"
    return f"{verdict} by {by}: {failed}"


def _note(decision: Row) -> str:
    uncounted = decision.get(UNCOUNTED, 0)
    counted = f"{uncounted} of its pairs do not count: a trial failed" if uncounted else ""
    return "; ".join(filter(None, [_basis(decision), _missing(decision), counted]))


def _remark(frame: pd.DataFrame, metric: Metric) -> str:
    nulls = [
        f"Null hypothesis ({name}): {NULLS[name]}." for name in frame[NULL_HYPOTHESIS].unique()
    ]
    return " ".join([*nulls, remark(frame[SELECTED_ON], metric)])


def _numbers(metric: Metric) -> list[str]:
    differences = map(metric.difference, ("difference", "ci_low", "ci_high"))
    return [*differences, "n_pairs", "p_holm", "verdict"]


def _cells(cells: CellFinder, _index: int, row: Row) -> tuple[int, ...]:
    return (*cells.find(row), *cells.find(row, str(row["compared"]), [row["against"]]))


TABLE = TableDefinition(
    frame=lambda data: data.sweep.decisions() if data.sweep.has_decisions else None,
    columns=_columns,
    note=_note,
    remark=_remark,
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
        f"was decided.\n{PROMISE}",
        link="Decisions",
    ),
    terminal=Terminal(
        "Declared comparisons: what the first cell is, by pairs of seeds", is_first=True
    ),
)
