"""What several tables share: the columns that tell cells apart, counts, and what selected epochs.

Pure. A best epoch that the test set selected flatters, so every table of best epochs says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchestration.model.columns import AFTER_AXES
from orchestration.model.metric import TEST_ACCURACY, Metric

COUNTS = ("n_seeds", "n_expected", "n_collapsed", "n_diverged")
"""A cell's: seeds finished, wanted, and of those finished at chance and no longer finite."""

SELECTED_ON = "selected_on"
"""The column that says which images selected the best epochs, in words; missing where no epoch was
selected, as in a table of last epochs."""

EXPECTED_BEST, N_COMMON = "expected_best", "n_common"
"""What the best of as many seeds as every cell has is worth on average, and how many these are."""

AS_BUILT = "as_built"
"""The column that says whether a cell has the reference's value on each axis that is a setting."""

TUNED_KEYS = (
    "init",
    "threshold",
    "surrogate",
    "slope",
    "beta",
    "batch_size",
    "learning_rate",
    "optimizer",
    "momentum",
    "weight_decay",
    "schedule",
    "warmup_epochs",
    "augment",
)
"""The axes that are settings of one network: how it starts, and how it is trained. With any other
(data set, trunk, depth, width, time steps, epochs, …) it is another network, or another task."""


def axis_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that tell the rows of best of seeds, or of a dependency gap, apart."""
    first = next(number for number, name in enumerate(frame) if name in AFTER_AXES)
    return [str(name) for name in frame.columns[:first]]


def plain(value: Any) -> Any:
    """A value of a frame as Python's own; None where it is missing."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def shortfall(cell: Mapping[Any, Any]) -> str:
    """Say in words what a cell lacks; empty where every seed finished, learned and stayed finite.

    Only a cell without a shortfall may be called the best of its kind.

    Args:
        cell: a row of best of seeds.
    """
    n_seeds, n_expected, n_collapsed, n_diverged = (int(cell[name]) for name in COUNTS)
    lacks = []
    if n_seeds == 0:
        lacks.append("no results")
    elif n_seeds < n_expected:
        lacks.append(f"incomplete {n_seeds}/{n_expected}")
    if n_collapsed:
        lacks.append(f"collapsed {n_collapsed}/{n_seeds}")
    if n_diverged:
        lacks.append(f"diverged {n_diverged}/{n_seeds}")
    return ", ".join(lacks)


def seeds_differ(best: pd.DataFrame) -> bool:
    """Whether cells of best of seeds have their best of more seeds than others."""
    return bool((best["n_seeds"] > best[N_COMMON])[best["best"].notna()].any())


def unequal_seeds(best: pd.DataFrame) -> str:
    """A sentence for below a table of bests; empty where they are of equally many seeds."""
    if not seeds_differ(best):
        return ""
    least, most = int(best[N_COMMON].iloc[0]), int(best["n_seeds"].max())
    return (
        f"Cells have {least} to {most} seeds, and the best of more is higher by chance: their best "
        "are not comparable."
    )


def remark(selected: Iterable[str | None], metric: Metric = TEST_ACCURACY) -> str:
    """A sentence for below a table whose rows have these ``selected_on``; empty without any.

    Of an own metric it also says which way is better.
    """
    words = _words(selected)
    told = f"Epochs selected on {words}." if words else ""
    if metric.is_fraction:
        return told
    better = "larger" if metric.goal == "maximize" else "smaller"
    return f"{metric.name}: {better} is better. {told}".rstrip()


def remark_of_two(a: Iterable[str | None], b: Iterable[str | None]) -> str:
    """As :func:`remark`, of a table that sets two sweeps side by side."""
    sides = {"A": _words(a), "B": _words(b)}
    if sides["A"] == sides["B"]:
        return remark([sides["A"]])
    return remark([", on ".join(f"{words} ({side})" for side, words in sides.items() if words)])


def _words(selected: Iterable[str | None]) -> str:
    # Where cells differ, validation_fraction is one of the columns that tell them apart.
    return " or ".join(dict.fromkeys(one for one in selected if not pd.isna(one) and one))
