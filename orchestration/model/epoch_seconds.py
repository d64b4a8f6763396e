"""What a recorded time of an epoch may be: the one rule, for hours used and time left."""

from __future__ import annotations

_LONGEST = 366 * 24 * 3600.0


def possible_seconds(value: float | None) -> float | None:
    """The seconds of an epoch as a run recorded them; None where no epoch can have taken so long.

    They are 0 to a year. Whatever is estimated leaves others out, and says how many they are:
    anybody can write any number into MLflow, and one would decide what all trials take together.
    """
    return value if value is not None and 0 <= value <= _LONGEST else None


def impossible_times(count: int) -> str:
    """What to say of runs whose times are left out."""
    runs = "1 run has" if count == 1 else f"{count:,} runs have"
    return f"{runs} an impossible epoch_seconds, which is left out"
