"""How long trials have taken, and how long the remaining ones will take."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Hashable, Iterable

from orchestration.model.trial import Trial

EPOCH_SECONDS = "epoch_seconds"
"""The metric from which all estimates follow."""

_LONGEST_EPOCH = 366 * 24 * 3600.0


def possible_seconds(value: float | None) -> float | None:
    """The recorded seconds of an epoch; None if no epoch can have taken so long.

    Plausible are 0 seconds to a year. Estimates leave other values out, and report how many they
    were: anybody can write any number into MLflow, and a single one would distort the estimate.
    """
    return value if value is not None and 0 <= value <= _LONGEST_EPOCH else None


def impossible_times(count: int) -> str:
    """The message about runs whose times are left out."""
    runs = "1 run has" if count == 1 else f"{count:,} runs have"
    return f"{runs} an impossible epoch_seconds, which is left out"


class RecordedTimes:
    """Recorded times of trials, or of their epochs, from which others are estimated.

    The best estimate is the mean of the same cell. Without one, it is the mean of the same kind
    (the architecture, or the user's own training code), and otherwise that of all trials. Means
    are scaled by cost.
    """

    def __init__(self) -> None:
        self._seconds: defaultdict[tuple[str, Hashable], float] = defaultdict(float)
        self._counts: defaultdict[tuple[str, Hashable], int] = defaultdict(int)

    def add(self, cell: Hashable, kind: Hashable, seconds: float, cost: float = 1.0) -> None:
        """Add the time of one trial or epoch.

        Args:
            cost: the expected relative cost, in any unit.
        """
        for group in (("cell", cell), ("kind", kind), ("all", None)):
            self._seconds[group] += seconds / cost
            self._counts[group] += 1

    def estimate(self, cell: Hashable, kind: Hashable, cost: float = 1.0) -> float | None:
        """The expected seconds of another trial or epoch; None without any recorded time."""
        for group in (("cell", cell), ("kind", kind), ("all", None)):
            if group in self._counts:
                return self._seconds[group] / self._counts[group] * cost
        return None


def seconds_left(
    recorded: Iterable[tuple[Trial, float | None]],
    remaining: Iterable[tuple[Trial, int]],
    at_once: int,
) -> float | None:
    """How long some trials take until all of them have finished.

    Args:
        recorded: trials with the seconds of one of their epochs, if any was recorded.
        remaining: the trials that have not finished, with the number of epochs they have done.
        at_once: how many trials run at the same time.

    Returns:
        None if the time of any remaining trial is unknown.
    """
    times = RecordedTimes()
    for trial, recorded_seconds in recorded:
        if (seconds := possible_seconds(recorded_seconds)) is not None:
            config = trial.config
            times.add(trial.cell_label, config.kind, seconds, config.epoch_cost)

    def left(trial: Trial, epochs_done: int) -> float | None:
        config = trial.config
        epoch = times.estimate(trial.cell_label, config.kind, config.epoch_cost)
        if epoch is None or config.epochs is None:
            return None
        return epoch * max(0, config.epochs - epochs_done)

    return seconds_until_done((left(*trial) for trial in remaining), at_once)


def seconds_until_done(trial_seconds: Iterable[float | None], at_once: int) -> float | None:
    """How long trials take, side by side, the longest first.

    Returns:
        None if the time of any trial is unknown.
    """
    ends = [0.0] * max(1, at_once)
    remaining = list(trial_seconds)
    known = [seconds for seconds in remaining if seconds is not None]
    if len(known) < len(remaining):
        return None
    for seconds in sorted(known, reverse=True):
        heapq.heapreplace(ends, ends[0] + seconds)
    return max(ends)


def trained_seconds(epochs: float, epoch_seconds: float, elapsed: float) -> float:
    """How long a trial has trained: all its epochs like the last one, but no longer than it ran.

    Args:
        elapsed: the seconds from the start of its run to the end, or to now.
    """
    return min(epochs * epoch_seconds, elapsed)


def duration(seconds: float) -> str:
    """Seconds in words: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
