"""Tables for people of what tuning leaves: the gap between tuned sides, and the basin. Pure."""

from __future__ import annotations

import pandas as pd

from orchestration.report.table import (
    NO_NUMBER,
    Table,
    TableCell,
    as_text,
    decimal,
    interval,
    is_numeric,
    letter,
    percent,
    span,
)
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.sweep.metric import TEST_ACCURACY

__all__ = ["basin_table", "tuned_gap_table"]


def tuned_gap_table(frame: pd.DataFrame) -> Table:
    """Lay out each gap in two rows: as built, and below it tuned."""
    keys = _keys(frame, "built_none")
    headings = [*keys, "settings", "no norm %", "norm %", "gap pp", "95 % CI pp"]
    headings += ["no norm at", "norm at"]
    notes = _notes(frame)
    rows = []
    for row in frame.to_dict("records"):
        mark = letter(notes.index(row["note"])) if row["note"] else ""
        norm = row["norm"] + (" (standard)" if row["is_standard"] else "")
        named = [TableCell(norm if key == "norm" else as_text(row[key])) for key in keys]
        for side, words in (("built", "as built"), ("tuned", "tuned")):
            at = [row[name] if side == "tuned" else "" for name in ("none_at", "norm_at")]
            rows.append(
                [
                    *named,
                    TableCell(words),
                    TableCell(percent(row[f"{side}_none"])),
                    TableCell(percent(row[side])),
                    TableCell(decimal(row[f"{side}_gap_pp"]), mark="" if side == "built" else mark),
                    TableCell(span(row[f"{side}_ci_low_pp"], row[f"{side}_ci_high_pp"])),
                    *map(TableCell, at),
                ]
            )
    numeric = [*(is_numeric(frame[key]) for key in keys), False, *[True] * 4, False, False]
    return Table(headings, rows, numeric, tuple(notes), _remark(frame))


def basin_table(frame: pd.DataFrame) -> Table:
    """Lay out the share of settings that end near the best one."""
    keys = _keys(frame, "basin")
    headings = [
        *keys,
        "basin %",
        "certain %",
        "of all %",
        "certain %",
        "best %",
        "at",
        "settings",
    ]
    notes = _notes(frame)
    rows = []
    for row in frame.to_dict("records"):
        mark = letter(notes.index(row["note"])) if row["note"] else ""
        cells = [TableCell(as_text(row[key])) for key in keys]
        for name in ("basin", "basin_of_all"):
            cells.append(TableCell(percent(row[name])))
            cells.append(
                TableCell(interval(row[f"{name}_low"], row[f"{name}_high"], TEST_ACCURACY))
            )
        count = f"{row['n_settings']}/{row['n_settings_expected']}"
        cells += [
            TableCell(percent(row["best"])),
            TableCell(row["best_at"] or NO_NUMBER),
            TableCell(count, mark=mark),
        ]
        rows.append(cells)
    numeric = [*(is_numeric(frame[key]) for key in keys), *[True] * 5, False, True]
    return Table(headings, rows, numeric, tuple(notes), _remark(frame))


def _keys(frame: pd.DataFrame, first: str) -> list[str]:
    return [str(name) for name in frame.columns[: frame.columns.get_loc(first)]]


def _notes(frame: pd.DataFrame) -> list[str]:
    return [note for note in dict.fromkeys(frame["note"]) if note]


def _remark(frame: pd.DataFrame) -> str:
    """Which images chose."""
    return remark(frame[SELECTED_ON]).replace("Epochs", "Epochs and settings")
