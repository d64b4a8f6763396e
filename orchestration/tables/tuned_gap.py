"""The gap at the reference's settings, and the gap when both sides are tuned."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import (
    Column,
    Format,
    axes_before,
    columns_before,
    interval,
    number,
    words,
)
from orchestration.render.table import decimal
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables.definition import Macros, Section, TableDefinition, Terminal
from orchestration.tables.report_data import ReportData

_SIDES = {"built": "as built", "tuned": "tuned"}

_ENDS = {
    "none": "_none",
    "accuracy": "",
    "gap_pp": "_gap_pp",
    "ci_low_pp": "_ci_low_pp",
    "ci_high_pp": "_ci_high_pp",
}
"""The columns of both rows of a gap, and the ends of their names in the frame after the side."""

_OF_TUNED = ("none_at", "norm_at", "note")


def _frame(data: ReportData) -> pd.DataFrame | None:
    if not data.sweep.has_settings:
        return None
    return data.sweep.dependency_gap(tuned=True, by_norm=True)


def _rows(frame: pd.DataFrame) -> pd.DataFrame:
    """Two rows for each gap: as built, and tuned."""
    norm = frame["norm"].where(~frame["is_standard"], frame["norm"] + " (standard)")
    shared = frame[[*columns_before(frame, "built_none"), SELECTED_ON]].assign(norm=norm)
    sides = [
        shared.assign(
            settings=settings,
            **{name: frame[f"{side}{end}"] for name, end in _ENDS.items()},
            **{name: frame[name] if side == "tuned" else "" for name in _OF_TUNED},
        )
        for side, settings in _SIDES.items()
    ]
    return pd.concat(sides).sort_index(kind="stable")


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    measured = [
        number("no norm %", "none", metric.number),
        number("norm %", "accuracy", metric.number),
        number("gap pp", "gap_pp", decimal, marked=True),
        interval("95 % CI pp", "ci_low_pp", "ci_high_pp"),
    ]
    return [
        *axes_before(frame, "built_none"),
        words("settings"),
        *(replace(column, formats=_of_both_sides(column)) for column in measured),
        words("no norm at", "none_at"),
        words("norm at", "norm_at"),
    ]


def _of_both_sides(column: Column) -> dict[str, Format]:
    return {
        f"{side}{_ENDS[name]}": text for name, text in column.formats.items() for side in _SIDES
    }


def chosen_settings(frame: pd.DataFrame, _metric: Metric) -> str:
    """A sentence about the images that selected epochs and settings."""
    return remark(frame[SELECTED_ON]).replace("Epochs", "Epochs and settings")


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    kind=NetworkSweep,
    remark=chosen_settings,
    note=lambda row: str(row["note"]),
    rows=_rows,
    macros=[
        Macros(
            (*(f"{side}{end}" for side in _SIDES for end in _ENDS.values()), "none_at", "norm_at"),
            lambda cells, _, row: cells.find(row, "norm", ("none", row["norm"])),
        )
    ],
    section=Section(
        "tuned",
        "Tuned",
        "What each norm adds as built, and what is left of it when both sides, with the norm and "
        "without,\nhave the best of the settings that were tried: mean test accuracy over seeds, "
        "and 95 % t-intervals of\nthe differences, paired by seed.",
        link="Tuned",
    ),
    terminal=Terminal(
        "The gap as built, and tuned against tuned: mean over seeds",
        rows=lambda frame: frame[frame["is_standard"]],
    ),
)
