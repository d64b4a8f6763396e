"""The gap of each norm to the same network without a norm."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column
from orchestration.results.effects.norm_effects import norm_gaps
from orchestration.tables.definition import Macros, Section, TableDefinition, Terminal
from orchestration.tables.dependency_gap import gap_columns


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return gap_columns(frame, metric, {"no norm %": "none", "norm %": "accuracy"})


def _marked(frame: pd.DataFrame) -> pd.DataFrame:
    """The rows, in which the standard norms are named as such."""
    return frame.assign(
        norm=frame["norm"].where(~frame["is_standard"], frame["norm"] + " (standard)")
    )


def _has_more_norms(frame: pd.DataFrame) -> bool:
    """Whether there are norms without a column in the headline."""
    in_headline = frame["is_standard"] | (frame["norm"] == "homeostatic")
    return bool(frame["gap_pp"][~in_headline].notna().any())


TABLE = TableDefinition(
    frame=lambda data: norm_gaps(data.best, data.axes),
    columns=_columns,
    kind=NetworkSweep,
    note=lambda row: str(row["note"]),
    rows=_marked,
    is_worth_showing=_has_more_norms,
    links=lambda data, frame: {"norm %": [data.best_run_url(cell) for cell in frame.index]},
    macros=[
        Macros(("gap_pp",), lambda cells, cell, row: (*cells.find(row, "norm", ("none",)), cell))
    ],
    section=Section(
        "norms",
        "Each norm",
        "What each norm adds to the same network without one, best of seeds.",
        link="Each norm",
    ),
    terminal=Terminal("What each norm adds: norm minus none"),
)
