"""Tables for people of what tuning leaves: the gap between tuned sides, and the basin. Pure."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.report.tables.columns import (
    Column,
    Row,
    axes_of,
    columns_before,
    lay_out,
    note_of,
    number,
    span_of,
    words,
)
from orchestration.report.tables.table import NO_NUMBER, Table, decimal, interval
from orchestration.results.columns import SELECTED_ON, remark

__all__ = ["basin_table", "tuned_gap_table"]


def tuned_gap_table(frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out each gap in two rows: as built, and below it tuned."""
    keys = columns_before(frame, "built_none")
    norm = frame["norm"].where(~frame["is_standard"], frame["norm"] + " (standard)")
    shared = frame[[*keys, SELECTED_ON]].assign(norm=norm)
    measured = ("none", "accuracy", "gap_pp", "ci_low_pp", "ci_high_pp")
    built, tuned = (
        shared.assign(
            settings=what,
            **{
                name: frame[prefix + ("" if name == "accuracy" else f"_{name}")]
                for name in measured
            },
            none_at="" if prefix == "built" else frame["none_at"],
            norm_at="" if prefix == "built" else frame["norm_at"],
            note="" if prefix == "built" else frame["note"],
        )
        for prefix, what in (("built", "as built"), ("tuned", "tuned"))
    )
    both = pd.concat([built, tuned]).sort_index(kind="stable")
    columns = [
        *axes_of(frame, keys),
        words("settings"),
        number("no norm %", "none", metric.number),
        number("norm %", "accuracy", metric.number),
        number("gap pp", "gap_pp", decimal, marked=True),
        span_of("95 % CI pp", "ci_low_pp", "ci_high_pp"),
        words("no norm at", "none_at"),
        words("norm at", "norm_at"),
    ]
    return lay_out(both, columns, note=note_of, remark=_remark(frame))


def basin_table(frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out the share of settings that end near the best one."""

    def certain(name: str) -> Column:
        low, high = f"{name}_low", f"{name}_high"
        return Column("certain %", lambda row: interval(row[low], row[high], metric))

    columns = [
        *axes_of(frame, columns_before(frame, "basin")),
        number("basin %", "basin", metric.number),
        certain("basin"),
        number("of all %", "basin_of_all", metric.number),
        certain("basin_of_all"),
        number("best %", "best", metric.number),
        Column("at", lambda row: row["best_at"] or NO_NUMBER, numeric=False),
        Column("settings", _count, marked=True),
    ]
    return lay_out(frame, columns, note=note_of, remark=_remark(frame))


def _count(row: Row) -> str:
    return f"{row['n_settings']}/{row['n_settings_expected']}"


def _remark(frame: pd.DataFrame) -> str:
    """Which images chose."""
    return remark(frame[SELECTED_ON]).replace("Epochs", "Epochs and settings")
