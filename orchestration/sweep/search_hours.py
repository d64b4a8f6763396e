"""How many settings of a cell its search can try: ``search: {gpu_hours: …}``. Pure.

Each cell begins with a first round of settings. Once it has ended, its recorded times say for how
many settings the hours are enough. This number is then recorded with the sweep's spec, so a sweep
that is killed or runs again has the same number.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.sweep.grid import most_seeds
from orchestration.sweep.search import MOST_SETTINGS, Search
from orchestration.sweep.spec import SweepSpec


@dataclass(frozen=True)
class RoundTimes:
    """The recorded times of a cell's first round.

    Args:
        epochs: how many epochs a setting trains that is not pruned.
        epoch_seconds: the mean time of an epoch, over all trials of the round. Epochs after the
            first pruning are left out, so the mean stays the same if a pruned setting trains on.
    """

    epochs: int
    epoch_seconds: float


def with_bought(spec: SweepSpec, measured: Sequence[RoundTimes | None]) -> SweepSpec:
    """The spec with the number of settings of each cell for which ``gpu_hours`` are enough.

    Args:
        spec: a spec with a search.
        measured: of each cell; None if its first round has not ended.
    """
    search = spec.search
    assert search is not None
    most = (most_seeds(spec.grid) - len(spec.seed_order())) // search.seeds
    known = search.bought or [None] * len(measured)
    bought = tuple(
        count or (times and affordable(search, times, spec.resources.reserved, most))
        for count, times in zip(known, measured, strict=True)
    )
    if not any(bought):
        return spec
    return spec.model_copy(update={"search": search.model_copy(update={"bought": bought})})


def affordable(search: Search, times: RoundTimes, reserved: float, most: int) -> int:
    """For how many settings of a cell ``gpu_hours`` are enough; at least those of a round.

    With more settings, others may be pruned than in the first round alone. Therefore the epochs
    that its settings have trained after the first pruning count as spent in addition.

    Args:
        reserved: how many GPUs, or processor cores, a trial reserves.
        most: the most settings that the sweep may have.
    """
    assert search.gpu_hours is not None
    first, begin = search.round_size, search.prune.at[0] if search.prune else times.epochs
    spent = search.epochs(first, times.epochs) - first * min(begin, times.epochs)
    hours_per_epoch = times.epoch_seconds / 3600 * reserved * search.seeds
    enough = (
        count
        for count in range(first + 1, min(most, MOST_SETTINGS) + 1)
        if (search.epochs(count, times.epochs) + spent) * hours_per_epoch <= search.gpu_hours
    )
    return max(enough, default=first)
