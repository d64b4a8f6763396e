"""Two sweeps side by side, cell by cell; one of them may be the headline as it was published."""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, TEST_SET, Metric
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.cells import CONDITIONS
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

HEADLINE_PUBLISHED = "headline-published"
"""What the reference is called wherever a sweep's name may stand to compare with."""

# CIFAR-10, seeds 42, 123 and 456, T = 25 for the spiking network: the best epoch on the test set,
# then the best seed. Nothing but that best was published: no mean, and no single seed.
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
    return comparison(first, second, **where)[0]


def comparison(first: str, second: str, **where: str | None) -> tuple[pd.DataFrame, Metric]:
    """As :func:`compare_sweeps`, with the metric that the numbers are of.

    Raises:
        InputError: besides, the two are judged by different metrics.
    """
    one, other = (
        published_side()
        if name == HEADLINE_PUBLISHED
        else side_of(Results(name, **where).snapshot([BEST_TEST_ACCURACY]))
        for name in (first, second)
    )
    return comparison_of(first, one, second, other)


Side = tuple[pd.DataFrame, Metric]
"""Best of seeds with the columns that :func:`compare` needs, and what it is of."""


def comparison_of(first: str, one: Side, second: str, other: Side) -> tuple[pd.DataFrame, Metric]:
    """As :func:`comparison`, of sweeps that were read already."""
    (best_a, a), (best_b, b) = one, other
    if a != b:
        raise InputError(
            f"{first} is judged by {a.name} ({a.goal}), {second} by {b.name} ({b.goal}): "
            "there is nothing to compare"
        )
    return compare(best_a, best_b, a), a


def side_of(snapshot: Results) -> Side:
    """A sweep that was read."""
    best = snapshot.best_of_seeds().assign(**snapshot.cells.table[list(CONDITIONS)])
    return best, snapshot.metric


def published_side() -> Side:
    """The published numbers."""
    return published_headline().assign(**_CONDITIONS), TEST_ACCURACY


def published_headline() -> pd.DataFrame:
    """Give the published numbers with the columns of ``Results.best_of_seeds``.

    What was not published is missing. A best at chance means that every seed collapsed.
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
    """Set two sweeps side by side.

    Args:
        first, second: best of seeds of each, with the columns ``dataset`` and ``epochs``.
        metric: what both are judged by. An own one has the column ``difference`` for
            ``difference_pp``, not in percentage points.

    Returns:
        A row a pair of cells that agree in every axis that both sweeps have, in the order of the
        first, then what the second alone has: the axes of either; ``best_a``, ``best_b``,
        ``difference_pp`` (100 · (best_a - best_b)), ``mean_a``, ``mean_b``,
        ``mean_difference_pp``, ``n_seeds_a``, ``n_expected_a``, ``n_seeds_b``, ``n_expected_b``;
        ``note``, in words, what either cell lacks; ``selected_on_a``, ``selected_on_b``,
        ``dataset_a``, ``dataset_b``, ``epochs_a``, ``epochs_b``. A side without the cell is
        missing.
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
        # What is on record may be any text: epochs that no sweep can have count as not known.
        epochs = pd.to_numeric(table[name], errors="coerce").astype("float64")
        table[name] = epochs.where((epochs % 1 == 0) & (epochs < 2**53)).astype("Int64")
    return table


def _side(best: pd.DataFrame, axes: list[str], shared: list[str], side: str) -> pd.DataFrame:
    names = dict.fromkeys([*axes, "best", "mean", *COUNTS, SELECTED_ON, *CONDITIONS])
    wanted = best[list(names)].add_suffix(f"_{side}")
    # Values and not the columns: one of whole numbers in one sweep may hold others in the other.
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
