"""Frames of answers → tables for people. Pure.

What a cell lacks is said in words, and a cell that lacks something never stands out as the best.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import pandas as pd

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.report.tables.columns import Column, Row, axes_of, lay_out, number
from orchestration.report.tables.differences import (
    comparison_table,
    decisions_table,
    differences_table,
    gap_table,
    norm_gaps_table,
    own_differences_table,
    ranks_table,
    versions_table,
)
from orchestration.report.tables.energy import energy_table
from orchestration.report.tables.table import (
    NO_NUMBER,
    Table,
    as_text,
    interval,
    is_numeric,
    percent,
    unit_of,
)
from orchestration.report.tables.tuning import basin_table, tuned_gap_table
from orchestration.results.columns import (
    COUNTS,
    EXPECTED_BEST,
    N_COMMON,
    SELECTED_ON,
    axis_columns,
    remark,
    seeds_differ,
    shortfall,
    unequal_seeds,
)

__all__ = ["has_more_norms", "lacks_of", "merged", "table_of"]


def table_of(frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out a frame that ``Results`` or ``compare`` gave: best of seeds, or any other.

    Args:
        frame: as it was given.
        metric: what its numbers are of.
    """
    layouts = (layout for column, layout in _LAYOUTS.items() if column in frame)
    return next(layouts, _any)(frame, metric)


def lacks_of(best: pd.DataFrame) -> list[str]:
    """What each cell lacks, in words; empty where it lacks nothing."""
    return [shortfall(cell) for cell in best.to_dict("records")]


def has_more_norms(norm_gaps: pd.DataFrame) -> bool:
    """Whether a sweep has norms that the headline has no column for."""
    shown = norm_gaps["is_standard"] | (norm_gaps["norm"] == "homeostatic")
    return bool(norm_gaps["gap_pp"][~shown].notna().any())


def merged(best: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out best of seeds in few columns, for a terminal's 80: best (seed), mean ± std."""

    def top(cell: Row) -> str:
        text = metric.number(cell["best"])
        return text if text == NO_NUMBER else f"{text} ({cell['best_seed']})"

    def mean(cell: Row) -> str:
        text, std = metric.number(cell["mean"]), metric.number(cell["std"])
        return text if std == NO_NUMBER else f"{text} ± {std}"

    def seeds(cell: Row) -> str:
        n_seeds, n_expected, *others = (int(cell[name]) for name in COUNTS)
        lack = shortfall(cell)
        # "collapsed 3/3" and "incomplete 2/3" say how many seeds there are.
        if lack and n_seeds > 0 and (n_seeds < n_expected or n_seeds in others):
            return lack
        return f"{n_seeds}/{n_expected} {lack}".strip()

    columns = [
        *axes_of(best, axis_columns(best)),
        Column("best (seed)", top),
        *_at_common_n(best, metric),
        Column("mean ± std", mean),
        _interval(metric),
        Column("seeds", seeds, numeric=False),
    ]
    return lay_out(best, columns, remark=_remarks(best, metric))


def _best(frame: pd.DataFrame, metric: Metric) -> Table:
    axes, differ, unit = axis_columns(frame), seeds_differ(frame), unit_of(metric)
    lacks = lacks_of(frame)
    winners = _winners(frame, axes, lacks, EXPECTED_BEST if differ else "best", metric)
    columns = [
        *axes_of(frame, axes),
        Column(f"best{unit}", lambda cell: metric.number(cell["best"]), strong=not differ),
        number("best seed", "best_seed", as_text),
        *_at_common_n(frame, metric, unit),
        number(f"mean{unit}", "mean", metric.number),
        number("std", "std", metric.number),
        _interval(metric),
        Column("seeds", lambda cell: f"{cell['n_seeds']}/{cell['n_expected']}"),
        *([Column("note", shortfall, numeric=False)] if any(lacks) else []),
    ]
    return lay_out(frame, columns, winners=winners, remark=_remarks(frame, metric))


def _at_common_n(best: pd.DataFrame, metric: Metric, unit: str = "") -> list[Column]:
    """The best of as many seeds as each cell has, where some have more."""
    if not seeds_differ(best):
        return []
    heading = f"best of {best[N_COMMON].iloc[0]}{unit}"
    return [Column(heading, lambda cell: metric.number(cell[EXPECTED_BEST]), strong=True)]


def _interval(metric: Metric) -> Column:
    return Column("95 % CI", lambda cell: interval(cell["ci_low"], cell["ci_high"], metric))


def _remarks(best: pd.DataFrame, metric: Metric) -> str:
    told = [unequal_seeds(best), remark(best[SELECTED_ON], metric)]
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


def _any(frame: pd.DataFrame, metric: Metric) -> Table:
    def column(name: str) -> Column:
        percents = metric.is_fraction and name.endswith("accuracy")
        text = percent if percents else as_text
        heading = f"{name} %" if percents else name
        return Column(heading, lambda row: text(row[name]), is_numeric(frame[name]))

    return lay_out(frame, [column(str(name)) for name in frame])


_LAYOUTS: Mapping[str, Callable[[pd.DataFrame, Metric], Table]] = MappingProxyType(
    {
        "tuned_gap_pp": tuned_gap_table,
        "basin": basin_table,
        "energy_ci_low": energy_table,
        "is_standard": norm_gaps_table,
        "gap_pp": gap_table,
        "verdict": decisions_table,
        "mean_rank": ranks_table,
        "n_equal": versions_table,
        "compared": own_differences_table,
        "p_holm": differences_table,
        "mean_a": comparison_table,
        "best_seed": _best,
    }
)
"""By a column that tells a frame from those below it, how it is laid out."""
