"""Which images selected the epoch that a trial's best is of, in words. Pure.

A best epoch that the test set selected flatters, so every table of best epochs says so.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

__all__ = ["SELECTED_ON", "TEST_SET", "remark", "remark_of_two", "selected_on"]

SELECTED_ON = "selected_on"
"""The column that says it; missing where no epoch was selected, as in a table of last epochs."""

TEST_SET = "the test set"


def selected_on(validation_fraction: str) -> str:
    """Say what a trial's ``validation_fraction``, as MLflow has it, selects epochs on."""
    try:
        fraction = float(validation_fraction)
    except ValueError:  # another program's
        return f"validation_fraction {validation_fraction}"
    return f"{100 * fraction:g} % held-out training images" if fraction else TEST_SET


def remark(selected: Iterable[str | None]) -> str:
    """A sentence for below a table whose rows have these ``selected_on``; empty without any."""
    words = _words(selected)
    return f"Epochs selected on {words}." if words else ""


def remark_of_two(a: Iterable[str | None], b: Iterable[str | None]) -> str:
    """As :func:`remark`, of a table that sets two sweeps side by side."""
    sides = {"A": _words(a), "B": _words(b)}
    if sides["A"] == sides["B"]:
        return remark([sides["A"]])
    return remark([", on ".join(f"{words} ({side})" for side, words in sides.items() if words)])


def _words(selected: Iterable[str | None]) -> str:
    # Where cells differ, validation_fraction is one of the columns that tell them apart.
    return " or ".join(dict.fromkeys(one for one in selected if not pd.isna(one) and one))
