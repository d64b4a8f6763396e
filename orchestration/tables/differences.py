"""Differences of cells of training code of the user's own from the spec's baseline."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, Row, axes_before, metric_interval, number
from orchestration.render.table import as_text
from orchestration.tables.definition import CellFinder, Macros, Section, TableDefinition, Terminal
from orchestration.tables.norm_differences import P_HOLM, PAIRS, corrected, text_of_differences


def _against(row: Row) -> str:
    return f"{row['compared']} {row['against']}"


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "compared"),
        Column("against", _against, numeric=False),
        number("difference", "difference", metric.number),
        metric_interval("95 % CI", "ci_low", "ci_high", metric),
        PAIRS,
        P_HOLM,
    ]


def _cells(cells: CellFinder, _index: int, row: Row) -> tuple[int, ...]:
    axis = str(row["compared"])
    baseline = [value for value in cells.values(axis) if as_text(value) == row["against"]]
    return (*cells.find(row), *cells.find(row, axis, baseline))


TABLE = TableDefinition(
    frame=lambda data: data.sweep.differences() if data.kind.baseline else None,
    columns=_columns,
    remark=corrected,
    macros=[
        Macros(
            ("difference", "ci_low", "ci_high", "n_pairs", "p_holm"),
            _cells,
            against=lambda row: f"against {_against(row)}",
        )
    ],
    section=Section(
        "differences",
        "Differences from the baseline",
        text_of_differences,
        link="Differences",
    ),
    terminal=Terminal("Differences from the baseline, paired by seed", is_first=True),
)
