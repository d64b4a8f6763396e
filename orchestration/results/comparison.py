"""Compares two sweeps cell by cell; one of them may be the published headline."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, TEST_SET, Metric
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.columns import (
    COUNTS,
    EXPECTED_BEST,
    N_COMMON,
    SELECTED_ON,
    axis_columns,
    plain,
    shortfall,
)
from orchestration.results.results import Results
from orchestration.results.spec_cells import CONDITIONS

HEADLINE_PUBLISHED = "headline-published"
"""The name of the published headline, wherever the name of a sweep is accepted."""

# CIFAR-10, seeds 42, 123 and 456, T = 25 for the spiking network. Only the best seed's accuracy in
# its best epoch on the test set was published: no mean, and no other seed.
_CONDITIONS: dict[str, Any] = {"dataset": "cifar10", "epochs": 30}
_SEEDS = 3
_CHANCE = 0.1
_BEST = {
    ("ann", "none"): 0.8878,
    ("ann", "batchnorm"): 0.9227,
    ("ann", "homeostatic"): 0.9251,
    ("snn", "none"): 0.1,
    ("snn", "bntt"): 0.862,
    ("snn", "homeostatic"): 0.7869,
}


def compare_sweeps(first: str, second: str, **where: str | None) -> pd.DataFrame:
    """Compare two sweeps by name; one may be ``headline-published``. See :func:`compare`.

    Args:
        where: ``tracking_uri`` and ``database_url`` of Results.

    Raises:
        InputError: there is no sweep of such a name.
        ServiceError: the server or the database cannot be reached.
    """
    return comparison(first, second, **where)[0]


def comparison(first: str, second: str, **where: str | None) -> tuple[pd.DataFrame, Metric]:
    """The table of :func:`compare_sweeps`, and the metric of its numbers.

    Raises:
        InputError: there is no such sweep, or the two are judged by different metrics.
    """
    sides = [
        None
        if name == HEADLINE_PUBLISHED
        else Results(name, **where).snapshot([BEST_TEST_ACCURACY])
        for name in (first, second)
    ]
    return comparison_of(first, sides[0], second, sides[1])


def comparison_of(
    first: str, results_a: Results | None, second: str, results_b: Results | None
) -> tuple[pd.DataFrame, Metric]:
    """The same as :func:`comparison`, for sweeps that have been read; None: the published one."""
    (best_a, a), (best_b, b) = map(_best_of, (results_a, results_b))
    if a != b:
        raise InputError(
            f"{first} is judged by {a.name} ({a.goal}), {second} by {b.name} ({b.goal}): "
            "there is nothing to compare"
        )
    return compare(best_a, best_b, a), a


def _best_of(results: Results | None) -> tuple[pd.DataFrame, Metric]:
    """Best of seeds with the columns that :func:`compare` needs, and the metric."""
    if results is None:
        return published_headline().assign(**_CONDITIONS), TEST_ACCURACY
    best = results.best_of_seeds().assign(**results.cells.table[list(CONDITIONS)])
    return best, results.metric


def published_headline() -> pd.DataFrame:
    """The published numbers in the columns of ``Results.best_of_seeds``.

    Numbers that were not published are missing. A best at chance means that all seeds collapsed.
    """
    table = pd.DataFrame(list(_BEST), columns=["architecture", "norm"])
    table["best"] = list(_BEST.values())
    table["best_seed"] = pd.array([pd.NA] * len(table), dtype="Int64")
    for name in ("mean", "std", "ci_low", "ci_high"):
        table[name] = float("nan")
    table["n_seeds"] = table["n_expected"] = _SEEDS
    table["n_collapsed"] = (table["best"] <= _CHANCE).map({True: _SEEDS, False: 0})
    table["n_diverged"] = 0
    table[EXPECTED_BEST], table[N_COMMON] = table["best"], _SEEDS
    table[SELECTED_ON] = TEST_SET
    return table


def compare(
    first: pd.DataFrame, second: pd.DataFrame, metric: Metric = TEST_ACCURACY
) -> pd.DataFrame:
    """Compare two sweeps.

    Args:
        first, second: best of seeds of each, with the columns ``dataset`` and ``epochs``.
        metric: the metric by which both are judged. For the user's own metric the column is
            ``difference``, in the metric's unit, instead of ``difference_pp``.

    Returns:
        One row per pair of cells that agree in all axes that both sweeps have, in the order of the
        first sweep, then the cells that only the second one has. ``docs/publishing.md`` has the
        columns. Those of a sweep that does not have the cell are missing.
    """
    axes_a, axes_b = axis_columns(first), axis_columns(second)
    shared = [axis for axis in axes_a if axis in axes_b]
    axes = [*axes_a, *(axis for axis in axes_b if axis not in axes_a)]
    a, b = _side(first, axes_a, shared, "a"), _side(second, axes_b, shared, "b")
    both = a.merge(b, on="cell", how="outer")
    both = both.sort_values(["order_a", "order_b"], kind="stable", ignore_index=True)
    table = pd.DataFrame(index=both.index)
    for axis in axes:
        having = [side for side, own in (("a", axes_a), ("b", axes_b)) if axis in own]
        sides = [both[f"{axis}_{side}"] for side in having]
        table[axis] = sides[0] if len(sides) == 1 else sides[0].combine_first(sides[1])
    for value, name in (("best", "difference"), ("mean", "mean_difference")):
        table[f"{value}_a"], table[f"{value}_b"] = both[f"{value}_a"], both[f"{value}_b"]
        table[metric.difference(name)] = metric.scale * (both[f"{value}_a"] - both[f"{value}_b"])
    for name in ("n_seeds_a", "n_expected_a", "n_seeds_b", "n_expected_b"):
        table[name] = both[name].astype("Int64")
    table["note"] = [_note(row) for row in both.to_dict("records")]
    for name in (SELECTED_ON, *CONDITIONS):
        for side in "ab":
            table[f"{name}_{side}"] = both[f"{name}_{side}"]
    for name in ("epochs_a", "epochs_b"):
        # Any text may have been recorded: epochs that no sweep can have count as unknown.
        epochs = pd.to_numeric(table[name], errors="coerce").astype("float64")
        table[name] = epochs.where((epochs % 1 == 0) & (epochs < 2**53)).astype("Int64")
    return table


def _side(best: pd.DataFrame, axes: list[str], shared: list[str], side: str) -> pd.DataFrame:
    names = dict.fromkeys([*axes, "best", "mean", *COUNTS, SELECTED_ON, *CONDITIONS])
    wanted = best[list(names)].add_suffix(f"_{side}")
    # Single values are compared, as the same column may have another type in the other sweep.
    cells = best[shared].to_dict("records")
    wanted["cell"] = [tuple(plain(value) for value in cell.values()) for cell in cells]
    wanted[f"order_{side}"] = range(len(best))
    return wanted


def _note(row: dict[Any, Any]) -> str:
    notes = []
    for side in "ab":
        cell = {name: row[f"{name}_{side}"] for name in COUNTS}
        lack = "not there" if pd.isna(cell["n_seeds"]) else shortfall(cell)
        if lack:
            notes.append(f"{side.upper()}: {lack}")
    n_a, n_b = (0 if pd.isna(n) else int(n) for n in (row["n_seeds_a"], row["n_seeds_b"]))
    if n_a and n_b and n_a != n_b:
        notes.append(f"best of unequal numbers of seeds: A {n_a}, B {n_b}")
    return "; ".join(notes)
