"""The mean rank of each norm, in settings that have many."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column, axes_before, number, words
from orchestration.render.table import decimal, p_value
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables.definition import Macros, Section, TableDefinition
from orchestration.tables.report_data import ReportData


def _frame(data: ReportData) -> pd.DataFrame | None:
    ranks = data.sweep.mean_ranks()
    return None if ranks.empty else ranks


def _columns(frame: pd.DataFrame, _metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "norm"),
        words("norm"),
        number("mean rank", "mean_rank", decimal),
        words("groups"),
        number("seeds", "n_seeds"),
        number("p (Friedman)", "friedman_p", p_value),
    ]


def _remark(frame: pd.DataFrame, metric: Metric) -> str:
    epochs = remark(frame[SELECTED_ON], metric)
    return (
        f"{epochs} Norms that share no letter may not differ either: the differences say.".lstrip()
    )


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    kind=NetworkSweep,
    remark=_remark,
    macros=[
        Macros(("mean_rank", "groups", "friedman_p"), lambda cells, _, row: cells.find(row, "norm"))
    ],
    section=Section(
        "ranks",
        "Mean ranks",
        "Of the norms of each setting that has many, over seeds; 1 is the best. Norms that share "
        "a letter do\nnot differ by any of the tests above. Friedman's test asks whether any norm "
        "differs.",
        under="norm_differences",
    ),
)
