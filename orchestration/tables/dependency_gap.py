"""The dependency gap of each network: its norms side by side, and the gap between them."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column, axes_before, number
from orchestration.render.table import decimal
from orchestration.results.effects.norm_effects import dependency_gap, settings_of
from orchestration.tables.definition import Macros, TableDefinition
from orchestration.tables.report_data import ReportData


def gap_columns(frame: pd.DataFrame, metric: Metric, accuracies: dict[str, str]) -> list[Column]:
    """The columns of a table of gaps; accuracies are given as columns by heading."""
    return [
        *axes_before(frame, "none"),
        *(number(heading, name, metric.number) for heading, name in accuracies.items()),
        number("gap pp", "gap_pp", decimal, marked=True),
        number("gap / ann's", "ratio", decimal),
    ]


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    accuracies = {"no norm %": "none", "standard %": "standard", "homeostatic %": "homeostatic"}
    return gap_columns(frame, metric, accuracies)


def gap_with_standard_norm(data: ReportData) -> pd.DataFrame:
    """The gaps, with the name of each network's standard norm."""
    settings = settings_of(data.best, data.axes)
    norms = [s.standard if s.standard in s.cells else None for s in settings]
    frame = dependency_gap(data.best, data.axes)
    frame.insert(list(frame).index("standard") + 1, "standard_norm", norms)
    return frame


TABLE = TableDefinition(
    frame=lambda data: dependency_gap(data.best, data.axes),
    columns=_columns,
    kind=NetworkSweep,
    note=lambda row: str(row["note"]),
    macros=[
        Macros(
            ("gap_pp", "ratio"),
            lambda cells, _, row: cells.find(row, "norm", ("none", row["standard_norm"])),
            frame=gap_with_standard_norm,
        )
    ],
)
