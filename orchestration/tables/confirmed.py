"""The best settings of each cell with fresh seeds, if a search confirms several."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, metric_interval, number, words
from orchestration.render.table import unit_of
from orchestration.tables.definition import Section, TableDefinition, Terminal
from orchestration.tables.report_data import ReportData


def _frame(data: ReportData) -> pd.DataFrame | None:
    if not data.sweep.has_search:
        return None
    frame = data.sweep.confirmed()
    return frame if (frame["search_rank"] > 1).any() else None


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    unit = unit_of(metric)
    return [
        *axes_before(frame, "search_rank"),
        number("rank", "search_rank"),
        words("setting", "best_at", marked=True),
        number(f"held out{unit}", "searched_best", metric.number),
        number(f"fresh seeds{unit}", "mean", metric.number),
        metric_interval(f"95 % CI{unit}", "ci_low", "ci_high", metric),
        Column("seeds", lambda row: f"{row['n_seeds']}/{row['n_expected']}"),
    ]


def _remark(_frame: pd.DataFrame, _metric: Metric) -> str:
    return (
        "The ranks are of the search, on held-out data. All other tables are of rank 1: a setting "
        "that was chosen by its fresh seeds would be flattered by them."
    )


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    remark=_remark,
    section=Section(
        "confirmed",
        "The next best settings",
        "The best settings of each cell, as the search ranked them, with their means over fresh "
        "seeds and\n95 % t-intervals.",
        under="search",
    ),
    terminal=Terminal("The best settings of each cell, with fresh seeds"),
)
