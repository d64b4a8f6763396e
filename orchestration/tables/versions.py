"""The same trials by two versions of the code."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, interval, number
from orchestration.render.table import decimal
from orchestration.tables.definition import TableDefinition
from orchestration.tables.norm_differences import P_HOLM, PAIRS


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "mean_a"),
        number("A %", "mean_a", metric.number),
        number("B %", "mean_b", metric.number),
        number("A - B pp", "difference_pp", decimal),
        interval("95 % CI pp", "ci_low_pp", "ci_high_pp"),
        PAIRS,
        number("equal", "n_equal"),
        P_HOLM,
    ]


TABLE = TableDefinition(columns=_columns)
"""Made by ``Results.compare_versions``."""
