"""Best of seeds: one row per cell.

A note says what a cell lacks, and a cell that lacks something is never emphasized as the best.
"""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.columns import Column, Row, axes_before, metric_interval, number
from orchestration.render.table import NO_NUMBER, as_text, unit_of
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
from orchestration.tables.definition import Macros, Section, TableDefinition, Terminal
from orchestration.tables.report_data import ReportData

_SPREAD = ("mean", "std", "ci_low", "ci_high")


def _columns(best: pd.DataFrame, metric: Metric) -> list[Column]:
    unit = unit_of(metric)
    lacking = any(map(shortfall, best.to_dict("records")))
    return [
        *axes_before(best, "best"),
        number(f"best{unit}", "best", metric.number, strong=not seeds_differ(best)),
        number("best seed", "best_seed", as_text),
        *_at_common_n(best, metric, unit),
        number(f"mean{unit}", "mean", metric.number),
        number("std", "std", metric.number),
        _interval(metric),
        Column("seeds", lambda cell: f"{cell['n_seeds']}/{cell['n_expected']}"),
        *([Column("note", shortfall, numeric=False)] if lacking else []),
    ]


def _narrow_columns(best: pd.DataFrame, metric: Metric) -> list[Column]:
    """Few columns, for a terminal's 80: best (seed), mean ± std."""

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

    return [
        *axes_before(best, "best"),
        Column("best (seed)", top),
        *_at_common_n(best, metric),
        Column("mean ± std", mean),
        _interval(metric),
        Column("seeds", seeds, numeric=False),
    ]


def _at_common_n(best: pd.DataFrame, metric: Metric, unit: str = "") -> list[Column]:
    """The column of the mean best of as many seeds as each cell has, if some have more."""
    if not seeds_differ(best):
        return []
    heading = f"best of {best[N_COMMON].iloc[0]}{unit}"
    return [number(heading, EXPECTED_BEST, metric.number, strong=True)]


def _interval(metric: Metric) -> Column:
    return metric_interval("95 % CI", "ci_low", "ci_high", metric)


def _remark(best: pd.DataFrame, metric: Metric) -> str:
    sentences = [unequal_seeds(best), remark(best[SELECTED_ON], metric)]
    if seeds_differ(best):
        common = best[N_COMMON].iloc[0]
        sentences.insert(1, f"Best of {common} is what the best of {common} of them is on average.")
    return " ".join(filter(None, sentences))


def _winners(best: pd.DataFrame, metric: Metric) -> set[int]:
    """The rows of the best norm in each setting; of the user's own axes, of the best cell."""
    by = EXPECTED_BEST if seeds_differ(best) else "best"
    lacks = [shortfall(cell) for cell in best.to_dict("records")]
    whole = best.assign(row=range(len(best)))[[not lack for lack in lacks]]
    setting = [axis for axis in axis_columns(best) if axis != "norm"]
    if whole.empty or not setting:
        return set()
    if not metric.is_fraction:
        top = whole[by].max() if metric.goal == "maximize" else whole[by].min()
        return set(whole["row"][whole[by] == top])
    groups = whole.groupby(setting, dropna=False, sort=False)
    return set(whole["row"][whole[by] == groups[by].transform("max")])


def _links(data: ReportData, best: pd.DataFrame) -> dict[str, list[str]]:
    unit = unit_of(data.metric)
    runs = [data.trials.loc[data.trials["cell"] == cell, "run_id"] for cell in range(len(best))]
    of_cells = [data.provenance.runs_url(ids) if len(ids) else "" for ids in runs]
    of_best = [data.best_run_url(cell) for cell in range(len(best))]
    return {f"best{unit}": of_best, f"mean{unit}": of_cells, "seeds": of_cells}


def _text(metric: Metric) -> str:
    cut = ", which is cut at 0 and 100 % here" if metric.is_fraction else ""
    return (
        "The best of several seeds is more than one run should be expected to give. The mean over\n"
        f"seeds comes with its standard deviation and 95 % t-interval{cut}."
    )


TABLE = TableDefinition(
    frame=lambda data: data.best,
    columns=_columns,
    remark=_remark,
    winners=_winners,
    links=_links,
    macros=[
        Macros(("best", "best_seed", *_SPREAD, *COUNTS), lambda _cells, cell, _row: (cell,)),
        Macros(_SPREAD, lambda _cells, cell, _row: (cell,), lambda data: data.last, "last_"),
    ],
    section=Section("cells", "Best of seeds", _text, link="Best of seeds"),
    terminal=Terminal(
        lambda metric: f"{metric.title}, best of seeds" + (" (%)" if metric.is_fraction else ""),
        is_first=True,
        columns=_narrow_columns,
    ),
)
