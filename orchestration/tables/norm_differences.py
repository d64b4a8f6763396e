"""Differences between norms, paired by seed."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column, axes_before, interval, number, words
from orchestration.render.table import decimal, p_value
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables.definition import Macros, Section, TableDefinition

P_HOLM = number("p (Holm)", "p_holm", p_value)
PAIRS = number("pairs", "n_pairs")


def _columns(frame: pd.DataFrame, _metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "norm"),
        words("norm"),
        words("against"),
        number("difference pp", "difference_pp", decimal),
        interval("95 % CI pp", "ci_low_pp", "ci_high_pp"),
        PAIRS,
        P_HOLM,
    ]


def corrected(frame: pd.DataFrame, metric: Metric) -> str:
    """The images that selected the epochs, and the tests for whose number p is corrected."""
    selected = remark(frame[SELECTED_ON], metric)
    return f"{selected} p is corrected for all tests of the sweep, also those not shown.".lstrip()


def text_of_differences(metric: Metric) -> str:
    """The text above such a table in a report."""
    points = "in percentage points " if metric.is_fraction else ""
    return (
        f"Paired by seed, {points}of best epochs: mean, 95 % t-interval, and the p of a\n"
        "two-sided t-test, corrected by Holm for all tests of this table."
    )


TABLE = TableDefinition(
    frame=lambda data: data.sweep.norm_differences(),
    columns=_columns,
    kind=NetworkSweep,
    remark=corrected,
    macros=[
        Macros(
            ("difference_pp", "ci_low_pp", "ci_high_pp", "n_pairs", "p_holm"),
            lambda cells, _, row: cells.find(row, "norm", (row["norm"], row["against"])),
            against=lambda row: f"against {row['against']}",
        )
    ],
    section=Section(
        "differences",
        "Differences between norms",
        text_of_differences,
        link="Differences",
    ),
)
