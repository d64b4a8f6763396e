"""Tables of what lies between two cells: gaps, differences, verdicts, ranks, two sweeps. Pure."""

from __future__ import annotations

import math

import pandas as pd

from orchestration.model.metric import Metric
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
from orchestration.report.tables.table import (
    NO_NUMBER,
    Table,
    decimal,
    hours_in_words,
    interval,
    p_value,
    unit_of,
)
from orchestration.results.cells import CONDITIONS
from orchestration.results.columns import (
    SELECTED_ON,
    axis_columns,
    remark,
    remark_of_two,
)

__all__ = [
    "comparison_table",
    "decisions_table",
    "differences_table",
    "gap_table",
    "norm_gaps_table",
    "own_differences_table",
    "ranks_table",
    "versions_table",
]

_P_HOLM = number("p (Holm)", "p_holm", p_value)
_PAIRS = number("pairs", "n_pairs")


def gap_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the dependency gap of each network."""
    accuracies = {"no norm %": "none", "standard %": "standard", "homeostatic %": "homeostatic"}
    return _gaps(frame, accuracies, metric)


def norm_gaps_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the dependency gap of each norm."""
    norms = frame["norm"].where(~frame["is_standard"], frame["norm"] + " (standard)")
    return _gaps(frame.assign(norm=norms), {"no norm %": "none", "norm %": "accuracy"}, metric)


def _gaps(frame: pd.DataFrame, accuracies: dict[str, str], metric: Metric) -> Table:
    columns = [
        *axes_of(frame, axis_columns(frame)),
        *(number(heading, name, metric.number) for heading, name in accuracies.items()),
        number("gap pp", "gap_pp", decimal, marked=True),
        number("gap / ann's", "ratio", decimal),
    ]
    return lay_out(frame, columns, note=note_of, remark=remark(frame[SELECTED_ON], metric))


def differences_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out paired differences between norms."""
    columns = [
        *axes_of(frame, columns_before(frame, "norm")),
        words("norm"),
        words("against"),
        number("difference pp", "difference_pp", decimal),
        span_of("95 % CI pp", "ci_low_pp", "ci_high_pp"),
        _PAIRS,
        _P_HOLM,
    ]
    return lay_out(frame, columns, remark=_corrected(frame, metric))


def own_differences_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out differences of cells of the user's own axes from a baseline."""
    columns = [
        *axes_of(frame, columns_before(frame, "compared")),
        Column("against", lambda row: f"{row['compared']} {row['against']}", numeric=False),
        number("difference", "difference", metric.number),
        Column("95 % CI", lambda row: interval(row["ci_low"], row["ci_high"], metric)),
        _PAIRS,
        _P_HOLM,
    ]
    return lay_out(frame, columns, remark=_corrected(frame, metric))


def _corrected(frame: pd.DataFrame, metric: Metric) -> str:
    told = remark(frame[SELECTED_ON], metric)
    return f"{told} p is corrected for all tests of the sweep, also those not shown.".lstrip()


def versions_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the same trials by two versions of the code."""
    columns = [
        *axes_of(frame, columns_before(frame, "mean_a")),
        number("A %", "mean_a", metric.number),
        number("B %", "mean_b", metric.number),
        number("A - B pp", "difference_pp", decimal),
        span_of("95 % CI pp", "ci_low_pp", "ci_high_pp"),
        _PAIRS,
        number("equal", "n_equal"),
        _P_HOLM,
    ]
    return lay_out(frame, columns, remark=remark(frame[SELECTED_ON], metric))


def ranks_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the mean rank of each norm."""
    columns = [
        *axes_of(frame, columns_before(frame, "norm")),
        words("norm"),
        number("mean rank", "mean_rank", decimal),
        words("groups"),
        number("seeds", "n_seeds"),
        number("p (Friedman)", "friedman_p", p_value),
    ]
    told = remark(frame[SELECTED_ON], metric)
    told = f"{told} Norms that share no letter may not differ either: the differences say.".lstrip()
    return lay_out(frame, columns, remark=told)


def decisions_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the verdicts of declared comparisons."""
    columns = [
        *axes_of(frame, columns_before(frame, "compared")),
        words("is", "verdict", marked=True),
        words("than / as", "against"),
        *_of_decision(metric),
        number("e-value", "e_value", lambda e: NO_NUMBER if math.isnan(e) else f"{e:.3g}"),
        _P_HOLM,
        _PAIRS,
    ]
    told = remark(frame[SELECTED_ON], metric)
    return lay_out(frame, columns, note=_missing, remark=told)


def _of_decision(metric: Metric) -> list[Column]:
    """The difference and its interval."""
    if metric.is_fraction:
        return [
            number("by pp", "difference_pp", decimal),
            span_of("interval pp", "ci_low_pp", "ci_high_pp"),
        ]
    return [
        number("by", "difference", metric.number),
        Column("interval", lambda row: interval(row["ci_low"], row["ci_high"], metric)),
    ]


def _missing(decision: Row) -> str:
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


def comparison_table(frame: pd.DataFrame, metric: Metric) -> Table:
    """Lay out the cells that two sweeps share, side by side."""
    unit, apart = unit_of(metric), "A - B pp" if metric.is_fraction else "A - B"

    def scaled(difference: float) -> str:
        return metric.number(difference / metric.scale)

    columns = axes_of(frame, axis_columns(frame))
    for value, difference in (("best", "difference"), ("mean", "mean_difference")):
        columns += [
            number(f"{value} A{unit}", f"{value}_a", metric.number),
            number(f"{value} B{unit}", f"{value}_b", metric.number),
            number(apart, metric.difference(difference), scaled, marked=True),
        ]
    told = [remark_of_two(*(frame[f"{SELECTED_ON}_{side}"] for side in "ab"))]
    for name, what in zip(CONDITIONS, ("data sets", "numbers of epochs"), strict=True):
        a, b = (" or ".join(map(str, frame[f"{name}_{side}"].dropna().unique())) for side in "ab")
        if a and b and a != b:
            told.append(f"Not the same {what}: {a} (A), {b} (B).")
    return lay_out(frame, columns, note=note_of, remark=" ".join(filter(None, told)))
