"""Two sweeps side by side, cell by cell."""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from orchestration.results.published import HEADLINE_PUBLISHED, published_headline
from orchestration.results.results import Results
from orchestration.results.selection import SELECTED_ON
from orchestration.results.statistics import shortfall

__all__ = ["compare", "compare_sweeps"]

_COUNTS = ["n_seeds", "n_expected", "n_collapsed", "n_diverged"]


def compare_sweeps(first: str, second: str, **where: str | None) -> pd.DataFrame:
    """Set two sweeps side by side, each the name of one or ``headline-published``.

    Args:
        first, second: their names.
        where: ``tracking_uri``, ``database_url``, as of Results.

    Returns:
        As of :func:`compare`.

    Raises:
        InputError: there is no sweep of such a name.
        ServiceError: the server or the database cannot be reached.
    """
    tables = [
        published_headline()
        if name == HEADLINE_PUBLISHED
        else Results(name, **where).best_of_seeds()
        for name in (first, second)
    ]
    return compare(*tables)


def compare(first: pd.DataFrame, second: pd.DataFrame) -> pd.DataFrame:
    """Set two sweeps side by side.

    Args:
        first, second: best of seeds of each.

    Returns:
        A row a pair of cells that agree in every axis that both sweeps have, in the order of the
        first, then what the second alone has: the axes of either; ``best_a``, ``best_b``,
        ``difference_pp`` (100 · (best_a - best_b)), ``mean_a``, ``mean_b``,
        ``mean_difference_pp``, ``n_seeds_a``, ``n_expected_a``, ``n_seeds_b``, ``n_expected_b``;
        ``note``, in words, what either cell lacks; ``selected_on_a``, ``selected_on_b``. A side
        without the cell is missing.
    """
    axes_a, axes_b = _axes(first), _axes(second)
    shared = [axis for axis in axes_a if axis in axes_b]
    axes = [*axes_a, *(axis for axis in axes_b if axis not in axes_a)]
    a, b = _side(first, axes_a, shared, "a"), _side(second, axes_b, shared, "b")
    both = a.merge(b, on="cell", how="outer")
    both = both.sort_values(["order_a", "order_b"], kind="stable", ignore_index=True)
    table = pd.DataFrame(index=both.index)
    for axis in axes:
        sides = [both[f"{axis}_{side}"] for side in "ab" if f"{axis}_{side}" in both]
        table[axis] = sides[0] if len(sides) == 1 else sides[0].combine_first(sides[1])
    table["best_a"], table["best_b"] = both["best_a"], both["best_b"]
    table["difference_pp"] = 100 * (both["best_a"] - both["best_b"])
    table["mean_a"], table["mean_b"] = both["mean_a"], both["mean_b"]
    table["mean_difference_pp"] = 100 * (both["mean_a"] - both["mean_b"])
    for name in ("n_seeds_a", "n_expected_a", "n_seeds_b", "n_expected_b"):
        table[name] = both[name].astype("Int64")
    table["note"] = [_note(row) for row in both.to_dict("records")]
    for side in "ab":
        table[f"{SELECTED_ON}_{side}"] = both[f"{SELECTED_ON}_{side}"]
    return table


def _axes(best: pd.DataFrame) -> list[str]:
    return [str(name) for name in best.columns[: best.columns.get_loc("best")]]


def _side(best: pd.DataFrame, axes: list[str], shared: list[str], side: str) -> pd.DataFrame:
    cells = best[shared].to_dict("records")
    wanted = best[[*axes, "best", "mean", *_COUNTS, SELECTED_ON]].add_suffix(f"_{side}")
    # As text: a column of whole numbers in one sweep may hold others too in the other.
    wanted["cell"] = [json.dumps([_plain(value) for value in cell.values()]) for cell in cells]
    wanted[f"order_{side}"] = range(len(best))
    return wanted


def _plain(value: Any) -> Any:
    if pd.isna(value):
        return None
    value = value.item() if hasattr(value, "item") else value
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _note(row: dict[Any, Any]) -> str:
    notes = []
    for side in "ab":
        counts = [row[f"{name}_{side}"] for name in _COUNTS]
        lack = "not there" if pd.isna(counts[0]) else shortfall(*(int(count) for count in counts))
        if lack:
            notes.append(f"{side}: {lack}")
    return "; ".join(notes)
