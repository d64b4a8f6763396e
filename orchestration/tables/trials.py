"""Every finished trial, one row each."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, axes_before, number, words
from orchestration.render.table import as_text, decimal, unit_of
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData


def _frame(data: ReportData) -> pd.DataFrame:
    trials, metric = data.trials, data.metric
    seconds = data.curves.groupby("run_id")["epoch_seconds"].sum(min_count=1)
    named = [name for name in (*data.axes, "seed", "outcome") if name in trials]
    return trials[named].assign(
        best=trials[metric.best_name],
        best_epoch=trials["best_epoch"],
        last=trials.get(metric.last_name, pd.Series(float("nan"), trials.index)),
        minutes=trials["run_id"].map(seconds).astype(float) / 60,
        run_id=trials["run_id"],
    )


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    unit = unit_of(metric)
    return [
        *axes_before(frame, "best"),
        number(f"best{unit}", "best", metric.number),
        number("in epoch", "best_epoch", as_text),
        number(f"last{unit}", "last", metric.number),
        number("minutes", "minutes", decimal),
        words("run", "run_id"),
    ]


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    remark=lambda _frame, _metric: "",
    links=lambda data, frame: {"run": [data.provenance.run_url(run) for run in frame["run_id"]]},
    files=(),
)
"""A report's page has it at its end."""
