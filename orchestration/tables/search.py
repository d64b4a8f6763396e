"""The search of each cell: what it took, its best setting, and what that setting came to."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, metric_interval, number, words
from orchestration.render.table import hours_in_words, unit_of
from orchestration.tables.definition import Macros, Section, TableDefinition, Terminal
from orchestration.tables.report_data import ReportData


def _frame(data: ReportData) -> pd.DataFrame | None:
    return data.sweep.searched() if data.sweep.has_search else None


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    unit = unit_of(metric)
    return [
        *axes_before(frame, "n_settings"),
        Column("settings", lambda row: f"{row['n_settings']}/{row['n_settings_expected']}"),
        number("pruned", "n_pruned"),
        number("epochs", "epochs"),
        number("hours", "hours", hours_in_words),
        number(f"held out{unit}", "searched_best", metric.number),
        words("best at", "best_at", marked=True),
        number(f"fresh seeds{unit}", "mean", metric.number, strong=True),
        metric_interval(f"95 % CI{unit}", "ci_low", "ci_high", metric),
        Column("seeds", lambda row: f"{row['n_seeds']}/{row['n_expected']}"),
    ]


def _remark(_frame: pd.DataFrame, metric: Metric) -> str:
    return (
        "Settings are chosen by the best epoch on held-out data, which flatters the chosen one; "
        f"{metric.words} is of seeds that chose nothing."
    )


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    remark=_remark,
    note=lambda row: str(row["note"]),
    macros=[
        Macros(
            ("searched_best", "best_at", "mean", "ci_low", "ci_high", "n_settings", "epochs"),
            lambda cells, _, row: cells.find(row),
            prefix="search_",
        )
    ],
    section=Section(
        "search",
        "Each cell at its best",
        "Every cell was searched for its best setting with the same budget: the settings tried, "
        "those pruned\nearly, and the epochs and hours that they took; the best setting's score on "
        "held-out data; and its mean\nover fresh seeds, with a 95 % t-interval.",
        link="Search",
    ),
    terminal=Terminal("Each cell at its best setting: the search, and fresh seeds"),
)
