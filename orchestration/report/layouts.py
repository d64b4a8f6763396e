"""Frames of answers → tables for people. Pure.

What a cell lacks is said in words, and a cell that lacks something never stands out as the best.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from orchestration.report.energy_layout import energy_table
from orchestration.report.table import (
    NO_NUMBER,
    Table,
    TableCell,
    as_text,
    decimal,
    hours_in_words,
    interval,
    is_numeric,
    letter,
    p_value,
    percent,
    span,
    unit_of,
)
from orchestration.report.tuning_layouts import basin_table, tuned_gap_table
from orchestration.results.cells import CONDITIONS
from orchestration.results.columns import (
    COUNTS,
    EXPECTED_BEST,
    N_COMMON,
    SELECTED_ON,
    axis_columns,
    remark,
    remark_of_two,
    seeds_differ,
    shortfall,
    unequal_seeds,
)
from orchestration.sweep.metric import TEST_ACCURACY, Metric

__all__ = ["has_more_norms", "lacks_of", "merged", "table_of"]


def table_of(frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out a frame that ``Results`` or ``compare`` gave: best of seeds, or any other.

    Args:
        frame: as it was given.
        metric: what its numbers are of.
    """
    if "tuned_gap_pp" in frame:
        return tuned_gap_table(frame)
    if "basin" in frame:
        return basin_table(frame)
    if "energy_ci_low" in frame:
        return energy_table(frame)
    if "is_standard" in frame:
        return _norm_gaps(frame)
    if "gap_pp" in frame:
        return _gap(frame)
    if "verdict" in frame:
        return _decisions(frame)
    if "mean_rank" in frame:
        return _ranks(frame)
    if "n_equal" in frame:
        return _versions(frame)
    if "compared" in frame:
        return _own_differences(frame, metric)
    if "p_holm" in frame:
        return _differences(frame)
    if "mean_a" in frame:
        return _comparison(frame, metric)
    if "best_seed" in frame:
        return _best(frame, metric)
    return _any(frame, metric)


def lacks_of(best: pd.DataFrame) -> list[str]:
    """What each cell lacks, in words; empty where it lacks nothing."""
    return [shortfall(cell) for cell in best.to_dict("records")]


def merged(best: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out best of seeds in few columns, for a terminal's 80: best (seed), mean ± std."""
    number, axes, differ = metric.number, axis_columns(best), seeds_differ(best)
    rows = []
    for cell, lack in zip(best.to_dict("records"), lacks_of(best), strict=True):
        top, mean, std = number(cell["best"]), number(cell["mean"]), number(cell["std"])
        n_seeds, n_expected, *others = (int(cell[name]) for name in COUNTS)
        # "collapsed 3/3" and "incomplete 2/3" say how many seeds there are.
        says_seeds = n_seeds > 0 and (n_seeds < n_expected or n_seeds in others)
        rows.append(
            [
                *(as_text(cell[axis]) for axis in axes),
                top if top == NO_NUMBER else f"{top} ({cell['best_seed']})",
                *([percent(cell[EXPECTED_BEST])] if differ else []),
                mean if std == NO_NUMBER else f"{mean} ± {std}",
                interval(cell["ci_low"], cell["ci_high"], metric),
                lack if lack and says_seeds else f"{n_seeds}/{n_expected} {lack}".strip(),
            ]
        )
    at_common_n = [f"best of {best[N_COMMON].iloc[0]}"] if differ else []
    headings = [*axes, "best (seed)", *at_common_n, "mean ± std", "95 % CI", "seeds"]
    numeric = [is_numeric(best[axis]) for axis in axes]
    numeric += [True] * (len(headings) - len(axes) - 1) + [False]
    told = _remarks(best, metric)
    return Table(
        headings, [[TableCell(text) for text in row] for row in rows], numeric, remark=told
    )


def _best(frame: pd.DataFrame, metric: Metric) -> Table:
    axes, differ = axis_columns(frame), seeds_differ(frame)
    number, unit = metric.number, unit_of(metric)
    at_common_n = [f"best of {frame[N_COMMON].iloc[0]}{unit}"] if differ else []
    headings = [*axes, f"best{unit}", "best seed", *at_common_n, f"mean{unit}", "std"]
    headings += ["95 % CI", "seeds"]
    lacks = lacks_of(frame)
    winners = _winners(frame, axes, lacks, EXPECTED_BEST if differ else "best", metric)
    rows = []
    for row, cell in enumerate(frame.to_dict("records")):
        strong, expected = row in winners, number(cell[EXPECTED_BEST])
        rows.append(
            [
                *(TableCell(as_text(cell[axis])) for axis in axes),
                TableCell(number(cell["best"]), strong=strong and not differ),
                TableCell(as_text(cell["best_seed"])),
                *([TableCell(expected, strong=strong)] if differ else []),
                TableCell(number(cell["mean"])),
                TableCell(number(cell["std"])),
                TableCell(interval(cell["ci_low"], cell["ci_high"], metric)),
                TableCell(f"{cell['n_seeds']}/{cell['n_expected']}"),
            ]
        )
    numeric = [is_numeric(frame[axis]) for axis in axes]
    numeric += [True] * (len(headings) - len(axes))
    if any(lacks):
        headings, numeric = [*headings, "note"], [*numeric, False]
        rows = [[*row, TableCell(lack)] for row, lack in zip(rows, lacks, strict=True)]
    return Table(headings, rows, numeric, remark=_remarks(frame, metric))


def _remarks(best: pd.DataFrame, metric: Metric) -> str:
    told = [unequal_seeds(best), _remark(best[SELECTED_ON], metric)]
    if seeds_differ(best):
        common = best[N_COMMON].iloc[0]
        told.insert(1, f"Best of {common} is what the best of {common} of them is on average.")
    return " ".join(filter(None, told))


def _winners(
    frame: pd.DataFrame, axes: list[str], lacks: Sequence[str], by: str, metric: Metric
) -> set[int]:
    """The rows of the best norm in each setting, by this column; of own axes, of the best cell."""
    whole = frame.assign(row=range(len(frame)))[[not lack for lack in lacks]]
    setting = [axis for axis in axes if axis != "norm"]
    if whole.empty or not setting:
        return set()
    if not metric.is_fraction:
        best = whole[by].max() if metric.goal == "maximize" else whole[by].min()
        return set(whole["row"][whole[by] == best])
    groups = whole.groupby(setting, dropna=False, sort=False)
    return set(whole["row"][whole[by] == groups[by].transform("max")])


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
                span(low, high),
                str(row["n_pairs"]),
                p_value(row["p_holm"]),
            ]
        )
    numeric = [*(is_numeric(frame[name]) for name in setting), False, False, *[True] * 4]
    cells = [list(map(TableCell, row)) for row in rows]
    return Table(headings, cells, numeric, remark=remark(frame[SELECTED_ON]))


def _versions(frame: pd.DataFrame) -> Table:
    axes = [str(name) for name in frame.columns[: frame.columns.get_loc("mean_a")]]
    headings = [*axes, "A %", "B %", "A - B pp", "95 % CI pp", "pairs", "equal", "p (Holm)"]
    rows = [
        [
            *(as_text(row[axis]) for axis in axes),
            *(percent(row[name]) for name in ("mean_a", "mean_b")),
            decimal(row["difference_pp"]),
            span(row["ci_low_pp"], row["ci_high_pp"]),
            *(str(row[name]) for name in ("n_pairs", "n_equal")),
            p_value(row["p_holm"]),
        ]
        for row in frame.to_dict("records")
    ]
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * 7]
    cells = [list(map(TableCell, row)) for row in rows]
    return Table(headings, cells, numeric, remark=remark(frame[SELECTED_ON]))


def _own_differences(frame: pd.DataFrame, metric: Metric) -> Table:
    """Of cells of the user's own axes from a baseline."""
    axes = [str(name) for name in frame.columns[: frame.columns.get_loc("compared")]]
    headings = [*axes, "against", "difference", "95 % CI", "pairs", "p (Holm)"]
    rows = []
    for row in frame.to_dict("records"):
        texts = [
            *(as_text(row[name]) for name in axes),
            f"{row['compared']} {row['against']}",
            metric.number(row["difference"]),
            interval(row["ci_low"], row["ci_high"], metric),
            str(row["n_pairs"]),
            p_value(row["p_holm"]),
        ]
        rows.append(list(map(TableCell, texts)))
    numeric = [*(is_numeric(frame[name]) for name in axes), False, *[True] * 4]
    return Table(headings, rows, numeric, remark=_remark(frame[SELECTED_ON], metric))


def _ranks(frame: pd.DataFrame) -> Table:
    setting = [str(name) for name in frame.columns[: frame.columns.get_loc("norm")]]
    headings = [*setting, "norm", "mean rank", "groups", "seeds", "p (Friedman)"]
    rows = [
        [
            *(as_text(row[name]) for name in (*setting, "norm")),
            decimal(row["mean_rank"]),
            row["groups"],
            str(row["n_seeds"]),
            p_value(row["friedman_p"]),
        ]
        for row in frame.to_dict("records")
    ]
    numeric = [*(is_numeric(frame[name]) for name in setting), False, True, False, True, True]
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
                TableCell(span(low, high)),
                TableCell(NO_NUMBER if math.isnan(row["e_value"]) else f"{row['e_value']:.3g}"),
                TableCell(p_value(row["p_holm"])),
                TableCell(str(row["n_pairs"])),
            ]
        )
    numeric = [*(is_numeric(frame[name]) for name in axes), False, False, *[True] * 5]
    return Table(headings, rows, numeric, tuple(notes), remark(frame[SELECTED_ON]))


def _missing(decision: Mapping[Hashable, Any]) -> str:
    """What an undecided comparison lacks."""
    if decision["verdict"] != "undecided":
        return ""
    more, hours = decision["more_seeds"], decision["more_hours"]
    if pd.isna(more):
        return "undecided; nobody can tell how many more seeds would decide it"
    seeds = f"about {more} more seed{'s' if more > 1 else ''}"
    if not pd.isna(hours):
        seeds += f", {hours_in_words(hours)} {decision['hours_of']} hours,"
    return f"undecided; {seeds} would decide it, if they are as those so far"


def _comparison(frame: pd.DataFrame, metric: Metric) -> Table:
    axes = axis_columns(frame)
    unit, apart = unit_of(metric), "A - B pp" if metric.is_fraction else "A - B"
    headings = list(axes)
    for value in ("best", "mean"):
        headings += [f"{value} A{unit}", f"{value} B{unit}", apart]
    notes = [note for note in dict.fromkeys(frame["note"]) if note]
    rows = []
    for row in frame.to_dict("records"):
        mark = letter(notes.index(row["note"])) if row["note"] else ""
        line = [TableCell(as_text(row[axis])) for axis in axes]
        for value, name in (("best", "difference"), ("mean", "mean_difference")):
            line += [TableCell(metric.number(row[f"{value}_{side}"])) for side in "ab"]
            difference = row[metric.difference(name)] / metric.scale
            line.append(TableCell(metric.number(difference), mark=mark))
        rows.append(line)
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * 6]
    told = [remark_of_two(*(frame[f"{SELECTED_ON}_{side}"] for side in "ab"))]
    for name, words in zip(CONDITIONS, ("data sets", "numbers of epochs"), strict=True):
        a, b = (" or ".join(map(str, frame[f"{name}_{side}"].dropna().unique())) for side in "ab")
        if a and b and a != b:
            told.append(f"Not the same {words}: {a} (A), {b} (B).")
    return Table(headings, rows, numeric, tuple(notes), " ".join(filter(None, told)))


def _any(frame: pd.DataFrame, metric: Metric) -> Table:
    def is_percent(name: str) -> bool:
        return metric.is_fraction and name.endswith("accuracy")

    def text(name: str, value: Any) -> str:
        return percent(value) if is_percent(name) else as_text(value)

    names = [str(name) for name in frame]
    headings = [f"{name} %" if is_percent(name) else name for name in names]
    rows = [
        [TableCell(text(k, v)) for k, v in zip(names, row, strict=True)]
        for row in frame.itertuples(index=False)
    ]
    return Table(headings, rows, [is_numeric(frame[name]) for name in names])


def _remark(selected: Iterable[str | None], metric: Metric) -> str:
    """What is to be said below a table of such numbers."""
    told = remark(selected)
    if metric.is_fraction:
        return told
    better = "larger" if metric.goal == "maximize" else "smaller"
    return f"{metric.name}: {better} is better. {told}".rstrip()
