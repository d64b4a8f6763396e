"""Which recorded times of epochs are plausible: the one rule, for hours used and time left."""

from __future__ import annotations

_LONGEST = 366 * 24 * 3600.0


def possible_seconds(value: float | None) -> float | None:
    """The recorded seconds of an epoch; None if no epoch can have taken so long.

    Plausible are 0 seconds to a year. Estimates leave other values out, and report how many they
    were: anybody can write any number into MLflow, and a single one would distort the estimate.
    """
    return value if value is not None and 0 <= value <= _LONGEST else None


def impossible_times(count: int) -> str:
    """The message about runs whose times are left out."""
    runs = "1 run has" if count == 1 else f"{count:,} runs have"
    return f"{runs} an impossible epoch_seconds, which is left out"
