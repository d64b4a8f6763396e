"""Frames of answers → tables for people: texts in percent, whatever form they are written in. Pure.

Accuracies are fractions of 1 in the frames and percent here. The ends of an interval are cut at
0 and 100 %, where an accuracy ends; the frames keep them as computed. What a cell lacks is said in
words, and a cell that lacks something never stands out as the best.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.results.cells import CONDITIONS
from orchestration.results.columns import (
    COUNTS,
    SELECTED_ON,
    axis_columns,
    remark,
    remark_of_two,
    shortfall,
)

__all__ = [
    "Table",
    "TableCell",
    "as_text",
    "decimal",
    "has_more_norms",
    "is_numeric",
    "lacks_of",
    "letter",
    "merged",
    "percent",
    "table_of",
]

NO_NUMBER = "–"


@dataclass(frozen=True)
class TableCell:
    """What stands in one place of a table.

    Args:
        text: a number or words; "–" where there is no number.
        after: what follows a number without being aligned with it, such as its unit.
        mark: the letter of a note below the table.
        strong: whether it stands out as the best of its kind.
        href: where it leads to on a page.
    """

    text: str
    after: str = ""
    mark: str = ""
    strong: bool = False
    href: str = ""


@dataclass(frozen=True)
class Table:
    """A table for people.

    Args:
        headings: one a column.
        rows: as many cells each.
        numeric: by column, whether it holds numbers, to be aligned at their decimal point.
        notes: below the table, each after the letter that marks its cells.
        remark: below them, a sentence on all of it.
    """

    headings: list[str]
    rows: list[list[TableCell]]
    numeric: list[bool]
    notes: tuple[str, ...] = ()
    remark: str = ""


def table_of(frame: pd.DataFrame) -> Table:
    """Lay out a frame that ``Results`` or ``compare`` gave: best of seeds, or any other."""
    if "is_standard" in frame:
        return _norm_gaps(frame)
    if "gap_pp" in frame:
        return _gap(frame)
    if "verdict" in frame:
        return _decisions(frame)
    if "p_holm" in frame:
        return _differences(frame)
    if "mean_difference_pp" in frame:
        return _comparison(frame)
    if "best_seed" in frame:
        return _best(frame)
    return _any(frame)


def lacks_of(best: pd.DataFrame) -> list[str]:
    """What each cell lacks, in words; empty where it lacks nothing."""
    return [shortfall(cell) for cell in best.to_dict("records")]


def merged(best: pd.DataFrame) -> Table:
    """Lay out best of seeds in few columns, for a terminal's 80: best (seed), mean ± std."""
    axes = axis_columns(best)
    rows = []
    for cell, lack in zip(best.to_dict("records"), lacks_of(best), strict=True):
        top, mean, std = percent(cell["best"]), percent(cell["mean"]), percent(cell["std"])
        n_seeds, n_expected, *others = (int(cell[name]) for name in COUNTS)
        # "collapsed 3/3" and "incomplete 2/3" say how many seeds there are.
        says_seeds = n_seeds > 0 and (n_seeds < n_expected or n_seeds in others)
        rows.append(
            [
                *(as_text(cell[axis]) for axis in axes),
                top if top == NO_NUMBER else f"{top} ({cell['best_seed']})",
                mean if std == NO_NUMBER else f"{mean} ± {std}",
                interval(cell["ci_low"], cell["ci_high"]),
                lack if lack and says_seeds else f"{n_seeds}/{n_expected} {lack}".strip(),
            ]
        )
    headings = [*axes, "best (seed)", "mean ± std", "95 % CI", "seeds"]
    numeric = [*(is_numeric(best[axis]) for axis in axes), True, True, True, False]
    told = remark(best[SELECTED_ON])
    return Table(
        headings, [[TableCell(text) for text in row] for row in rows], numeric, remark=told
    )


def _best(frame: pd.DataFrame) -> Table:
    axes = axis_columns(frame)
    headings = [*axes, "best %", "best seed", "mean %", "std", "95 % CI", "seeds", "note"]
    lacks = lacks_of(frame)
    winners = _winners(frame, axes, lacks)
    rows = []
    for number, cell in enumerate(frame.to_dict("records")):
        rows.append(
            [
                *(TableCell(as_text(cell[axis])) for axis in axes),
                TableCell(percent(cell["best"]), strong=number in winners),
                TableCell(as_text(cell["best_seed"])),
                TableCell(percent(cell["mean"])),
                TableCell(percent(cell["std"])),
                TableCell(interval(cell["ci_low"], cell["ci_high"])),
                TableCell(f"{cell['n_seeds']}/{cell['n_expected']}"),
                TableCell(lacks[number]),
            ]
        )
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * 6, False]
    if not any(lacks):
        headings, rows, numeric = headings[:-1], [row[:-1] for row in rows], numeric[:-1]
    return Table(headings, rows, numeric, remark=remark(frame[SELECTED_ON]))


def _winners(frame: pd.DataFrame, axes: list[str], lacks: Sequence[str]) -> set[int]:
    """The rows of the best norm in each setting."""
    whole = frame.assign(row=range(len(frame)))[[not lack for lack in lacks]]
    setting = [axis for axis in axes if axis != "norm"]
    if whole.empty or not setting:
        return set()
    groups = whole.groupby(setting, dropna=False, sort=False)
    return set(whole["row"][whole["best"] == groups["best"].transform("max")])


def _gap(frame: pd.DataFrame) -> Table:
    headings = ["no norm %", "standard %", "homeostatic %", "gap pp", "gap / ann's"]
    return _of_gaps(frame, ("none", "standard", "homeostatic"), headings)


def has_more_norms(norm_gaps: pd.DataFrame) -> bool:
    """Whether a sweep has norms that the headline has no column for."""
    shown = norm_gaps["is_standard"] | (norm_gaps["norm"] == "homeostatic")
    return bool(norm_gaps["gap_pp"][~shown].notna().any())


def _norm_gaps(frame: pd.DataFrame) -> Table:
    norms = frame["norm"].where(~frame["is_standard"], frame["norm"] + " (standard)")
    headings = ["no norm %", "norm %", "gap pp", "gap / ann's"]
    return _of_gaps(frame.assign(norm=norms), ("none", "accuracy"), headings)


def _of_gaps(frame: pd.DataFrame, accuracies: Sequence[str], headings: list[str]) -> Table:
    axes = axis_columns(frame)
    notes = [note for note in dict.fromkeys(frame["note"]) if note]
    rows = [
        [
            *(TableCell(as_text(row[axis])) for axis in axes),
            *(TableCell(percent(row[name])) for name in accuracies),
            TableCell(
                decimal(row["gap_pp"]), mark=letter(notes.index(row["note"])) if row["note"] else ""
            ),
            TableCell(decimal(row["ratio"])),
        ]
        for row in frame.to_dict("records")
    ]
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * len(headings)]
    return Table([*axes, *headings], rows, numeric, tuple(notes), remark(frame[SELECTED_ON]))


def _differences(frame: pd.DataFrame) -> Table:
    setting = [str(name) for name in frame.columns[: frame.columns.get_loc("norm")]]
    headings = [*setting, "norm", "against", "difference pp", "95 % CI pp", "pairs", "p (Holm)"]
    rows = []
    for row in frame.to_dict("records"):
        low, high = row["ci_low_pp"], row["ci_high_pp"]
        rows.append(
            [
                *(as_text(row[name]) for name in (*setting, "norm", "against")),
                decimal(row["difference_pp"]),
                NO_NUMBER if math.isnan(low) else f"{low:.2f} to {high:.2f}",
                str(row["n_pairs"]),
                _p(row["p_holm"]),
            ]
        )
    numeric = [*(is_numeric(frame[name]) for name in setting), False, False, *[True] * 4]
    cells = [list(map(TableCell, row)) for row in rows]
    return Table(headings, cells, numeric, remark=remark(frame[SELECTED_ON]))


def _decisions(frame: pd.DataFrame) -> Table:
    axes = [str(name) for name in frame.columns[: frame.columns.get_loc("compared")]]
    headings = [*axes, "is", "than / as", "by pp", "interval pp", "e-value", "p (Holm)", "pairs"]
    notes: list[str] = []
    rows = []
    for row in frame.to_dict("records"):
        low, high = row["ci_low_pp"], row["ci_high_pp"]
        note = _missing(row)
        notes += [note] if note and note not in notes else []
        mark = letter(notes.index(note)) if note else ""
        rows.append(
            [
                *(TableCell(as_text(row[axis])) for axis in axes),
                TableCell(row["verdict"], mark=mark),
                TableCell(as_text(row["against"])),
                TableCell(decimal(row["difference_pp"])),
                TableCell(f"{low:.2f} to {high:.2f}" if math.isfinite(low) else NO_NUMBER),
                TableCell(NO_NUMBER if math.isnan(row["e_value"]) else f"{row['e_value']:.3g}"),
                TableCell(_p(row["p_holm"])),
                TableCell(str(row["n_pairs"])),
            ]
        )
    numeric = [*(is_numeric(frame[name]) for name in axes), False, False, *[True] * 5]
    return Table(headings, rows, numeric, tuple(notes), remark(frame[SELECTED_ON]))


def _missing(decision: Mapping[Hashable, Any]) -> str:
    """What an undecided comparison lacks."""
    if decision["verdict"] != "undecided":
        return ""
    more = decision["more_seeds"]
    if pd.isna(more):
        return "undecided; nobody can tell how many more seeds would decide it"
    return f"undecided; about {more} more seeds would decide it, if they are as those so far"


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else NO_NUMBER if math.isnan(p) else f"{p:.3f}"


def _comparison(frame: pd.DataFrame) -> Table:
    axes = axis_columns(frame)
    headings = [*axes, "best A %", "best B %", "A - B pp", "mean A %", "mean B %", "A - B pp"]
    notes = [note for note in dict.fromkeys(frame["note"]) if note]
    rows = []
    for row in frame.to_dict("records"):
        mark = letter(notes.index(row["note"])) if row["note"] else ""
        line = [TableCell(as_text(row[axis])) for axis in axes]
        for value, difference in (("best", "difference_pp"), ("mean", "mean_difference_pp")):
            line += [TableCell(percent(row[f"{value}_{side}"])) for side in "ab"]
            line.append(TableCell(decimal(row[difference]), mark=mark))
        rows.append(line)
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * 6]
    told = [remark_of_two(*(frame[f"{SELECTED_ON}_{side}"] for side in "ab"))]
    for name, words in zip(CONDITIONS, ("data sets", "numbers of epochs"), strict=True):
        a, b = (" or ".join(map(str, frame[f"{name}_{side}"].dropna().unique())) for side in "ab")
        if a and b and a != b:
            told.append(f"Not the same {words}: {a} (A), {b} (B).")
    return Table(headings, rows, numeric, tuple(notes), " ".join(filter(None, told)))


def _any(frame: pd.DataFrame) -> Table:
    def text(name: str, value: Any) -> str:
        return percent(value) if name.endswith("accuracy") else as_text(value)

    names = [str(name) for name in frame]
    headings = [f"{name} %" if name.endswith("accuracy") else name for name in names]
    rows = [
        [TableCell(text(k, v)) for k, v in zip(names, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return Table(headings, rows, [is_numeric(frame[name]) for name in names])


def is_numeric(column: pd.Series) -> bool:
    """Whether a column holds numbers, which tables align."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def interval(low: float, high: float) -> str:
    """An interval of accuracies in percent, cut at 0 and 100 %."""
    if math.isnan(low):
        return NO_NUMBER
    return f"{percent(max(low, 0.0))}–{percent(min(high, 1.0))}"


def letter(number: int) -> str:
    """The mark of the note with this number: a to z, then aa, ab and so on."""
    rest, last = divmod(number, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("a") + last)


def percent(fraction: float) -> str:
    """A fraction of 1 in percent, with two decimals and no sign."""
    return decimal(100 * fraction)


def decimal(number: float) -> str:
    """A number with two decimals; "–" where there is none."""
    return NO_NUMBER if math.isnan(number) else f"{number:.2f}"


def as_text(value: Any) -> str:
    """Any value as it is shown, times to the second."""
    if pd.isna(value):
        return NO_NUMBER
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:g}" if isinstance(value, float) else str(value)
