"""Columns and sentences that several tables share: axes, counts, and what selected the epochs.

Pure. If the test set selected the best epochs, their accuracies are too high by choice, so every
table of best epochs says what selected them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from orchestration.model.columns import AFTER_AXES
from orchestration.model.metric import TEST_ACCURACY, Metric

COUNTS = ("n_seeds", "n_expected", "n_collapsed", "n_diverged")
"""The numbers of a cell's finished and wanted seeds, and of collapsed and diverged ones."""

SELECTED_ON = "selected_on"
"""The column with the images that selected the best epochs, in words; missing if no epoch was
selected, as in a table of last epochs."""

EXPECTED_BEST, N_COMMON = "expected_best", "n_common"
"""The mean best of as many seeds as every cell has, and how many these are."""

AS_BUILT = "as_built"
"""The column that is true if a cell has the reference's value on each axis that is a setting."""


def axis_columns(frame: pd.DataFrame) -> list[str]:
    """The columns that distinguish the rows of best of seeds, or of a dependency gap."""
    first = next(number for number, name in enumerate(frame) if name in AFTER_AXES)
    return [str(name) for name in frame.columns[:first]]


def plain(value: Any) -> Any:
    """A value of a frame as a value of Python; None if it is missing."""
    if pd.isna(value):
        return None
    return value.item() if hasattr(value, "item") else value


def setting_words(values: Mapping[str, Any]) -> str:
    """A setting's values, such as ``threshold 0.3, init kaiming``, without missing ones."""
    return ", ".join(
        f"{key} {f'{value:g}' if isinstance(value, float) else value}"
        for key, value in values.items()
        if not pd.isna(value)
    )


def letter(number: int) -> str:
    """The letter with this number: a to z, then aa, ab and so on."""
    rest, last = divmod(number, 26)
    return (letter(rest - 1) if rest else "") + chr(ord("a") + last)


def shortfall(cell: Mapping[Any, Any]) -> str:
    """What a cell lacks, in words; empty if every seed finished, learned and stayed finite.

    Only a cell, a row of best of seeds, without a shortfall may be called the best of its kind.
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
    """Whether some cells of best of seeds have more seeds than others."""
    return bool((best["n_seeds"] > best[N_COMMON])[best["best"].notna()].any())


def unequal_seeds(best: pd.DataFrame) -> str:
    """The sentence below a table whose cells have unequal numbers of seeds; otherwise empty."""
    if not seeds_differ(best):
        return ""
    least, most = int(best[N_COMMON].iloc[0]), int(best["n_seeds"].max())
    return (
        f"Cells have {least} to {most} seeds, and the best of more is higher by chance: their best "
        "are not comparable."
    )


def remark(selected: Iterable[str | None], metric: Metric = TEST_ACCURACY) -> str:
    """The sentence below a table whose rows have these ``selected_on``; empty if all are missing.

    For the user's own metric it also says whether larger or smaller is better.
    """
    words = _words(selected)
    sentence = f"Epochs selected on {words}." if words else ""
    if metric.is_fraction:
        return sentence
    better = "larger" if metric.goal == "maximize" else "smaller"
    return f"{metric.name}: {better} is better. {sentence}".rstrip()


def remark_of_two(a: Iterable[str | None], b: Iterable[str | None]) -> str:
    """The same as :func:`remark`, for a table of two sweeps side by side."""
    sides = {"A": _words(a), "B": _words(b)}
    if sides["A"] == sides["B"]:
        return remark([sides["A"]])
    return remark([", on ".join(f"{words} ({side})" for side, words in sides.items() if words)])


def _words(selected: Iterable[str | None]) -> str:
    # If cells differ in validation_fraction, it is one of their axes.
    return " or ".join(dict.fromkeys(words for words in selected if not pd.isna(words) and words))
