"""How much the choice of an epoch and of a seed by accuracy adds, cell by cell."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, columns_before, number
from orchestration.render.table import unit_of
from orchestration.tables.definition import Section, TableDefinition
from orchestration.tables.report_data import ReportData

_MOST_BEST_OF = 10
"""Numbers of seeds that have a column each; beyond, only that of all seeds has one."""


def _frame(data: ReportData) -> pd.DataFrame:
    by_n = data.expected.pivot(index="cell", columns="n", values="expected_best")
    most = by_n.shape[1]
    shown = [n for n in range(2, most + 1) if n <= _MOST_BEST_OF or n == most]
    return data.best[data.axes].assign(
        **{"last epoch": data.last["mean"], "best epoch": data.best["mean"]},
        **{f"best of {n}": by_n[n].reindex(data.best.index) for n in shown},
    )


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    axes = columns_before(frame, "last epoch")
    return [
        *axes_before(frame, "last epoch"),
        *(
            number(f"{name}{unit_of(metric)}", name, metric.number)
            for name in map(str, frame.columns[len(axes) :])
        ),
    ]


def _text(metric: Metric) -> str:
    choice = (
        "A choice by accuracy on the test set lifts it: that of a seed always, that of an epoch "
        "where no\ntraining images were held out for it."
        if metric.is_fraction
        else f"A choice by {metric.name} flatters it: that of an epoch, and that of a seed."
    )
    return (
        f"{choice} The mean over seeds of the last epoch, which nobody chose; that\nof each seed's "
        "best epoch; and what the best of several seeds gives on average."
    )


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    files=(),
    section=Section("choice", "What the choice adds", _text, under="best_of_seeds"),
)
