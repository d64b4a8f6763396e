"""The cells that two sweeps share, side by side."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, number
from orchestration.render.table import unit_of
from orchestration.results.columns import SELECTED_ON, remark_of_two
from orchestration.results.spec_cells import CONDITIONS
from orchestration.tables.definition import TableDefinition


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    unit, apart = unit_of(metric), "A - B pp" if metric.is_fraction else "A - B"

    def scaled(difference: float) -> str:
        return metric.number(difference / metric.scale)

    columns = axes_before(frame, "best_a")
    for value, difference in (("best", "difference"), ("mean", "mean_difference")):
        columns += [
            number(f"{value} A{unit}", f"{value}_a", metric.number),
            number(f"{value} B{unit}", f"{value}_b", metric.number),
            number(apart, metric.difference(difference), scaled, marked=True),
        ]
    return columns


def _remark(frame: pd.DataFrame, _metric: Metric) -> str:
    sentences = [remark_of_two(*(frame[f"{SELECTED_ON}_{side}"] for side in "ab"))]
    for name, what in zip(CONDITIONS, ("data sets", "numbers of epochs"), strict=True):
        a, b = (" or ".join(map(str, frame[f"{name}_{side}"].dropna().unique())) for side in "ab")
        if a and b and a != b:
            sentences.append(f"Not the same {what}: {a} (A), {b} (B).")
    return " ".join(filter(None, sentences))


TABLE = TableDefinition(columns=_columns, remark=_remark, note=lambda row: str(row["note"]))
"""Made by ``orchestration.results.comparison``."""
