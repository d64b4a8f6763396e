"""The basin: the share of each norm's settings that end near the best one."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column, axes_before, metric_interval, number
from orchestration.render.table import NO_NUMBER
from orchestration.tables.definition import Macros, Section, TableDefinition, Terminal
from orchestration.tables.report_data import ReportData
from orchestration.tables.tuned_gap import chosen_settings


def _frame(data: ReportData) -> pd.DataFrame | None:
    """The basins; None unless several norms have several settings each."""
    if not data.sweep.has_settings:
        return None
    basins = data.sweep.basin()
    return basins if (basins["n_settings_expected"] > 1).sum() > 1 else None


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    def certain(name: str) -> Column:
        return metric_interval("certain %", f"{name}_low", f"{name}_high", metric)

    return [
        *axes_before(frame, "basin"),
        number("basin %", "basin", metric.number),
        certain("basin"),
        number("of all %", "basin_of_all", metric.number),
        certain("basin_of_all"),
        number("best %", "best", metric.number),
        Column("at", lambda row: row["best_at"] or NO_NUMBER, numeric=False),
        Column(
            "settings",
            lambda row: f"{row['n_settings']}/{row['n_settings_expected']}",
            marked=True,
        ),
    ]


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    kind=NetworkSweep,
    remark=chosen_settings,
    note=lambda row: str(row["note"]),
    macros=[
        Macros(
            (
                *(
                    f"{of}{end}"
                    for of in ("basin", "basin_of_all")
                    for end in ("", "_low", "_high")
                ),
                "best_at",
                "n_settings",
            ),
            lambda cells, _, row: cells.find(row, "norm"),
        )
    ],
    section=Section(
        "basin",
        "The basin",
        "The share of the settings that end within 2 points of the norm's own best one, and "
        "within 2 points\nof the best one of all norms; and the shares that are certain at 95 %, "
        "all settings at once.",
        under="tuned_gap",
    ),
    terminal=Terminal("The basin: the share of settings within 2 points of the best one"),
)
