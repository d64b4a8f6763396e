"""Forecasts the trials and hours of seeds until decided: certain, likely, at most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from orchestration.results.deciding.sequential import UNDECIDED, evidence
from orchestration.results.deciding.state import DecisionState, more_seeds
from orchestration.results.deciding.unseen import Seen
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import MOST_SEEDS, UntilDecided

_FEWEST_PAIRS = 2
"""The pairs that a comparison needs before its records show a spread."""


@dataclass(frozen=True)
class Cost:
    """The cost of a whole sweep, including what has been run; no hours if none are on record."""

    trials: int
    hours: float | None


@dataclass(frozen=True)
class SeedsForEqual:
    """How many seeds of a cell the verdict ``equal`` takes, if none of them fails.

    None stands for more than the largest ``at_most``.

    Args:
        fewest: the number if the two values of each seed are the same.
        fewest_with_spread: the number if values have a standard deviation over seeds of
            ``practically_equal``.
        from_records: whether both account for the spread and the losses of recorded trials. These
            are known once each cell has ``at_least`` seeds.
    """

    fewest: int | None
    fewest_with_spread: int | None
    from_records: bool


@dataclass(frozen=True)
class Forecast:
    """The forecast of a whole sweep.

    Args:
        certain: the cost of ``at_least`` seeds of each cell.
        likely: the cost if further seeds are like those so far; None if too little is on record.
        most: the cost of ``at_most`` seeds of each cell that is compared.
        hours_of: the unit of hours: GPU or core.
        equal: the seeds for ``equal``; None if the spec has no ``practically_equal``.
    """

    certain: Cost
    likely: Cost | None
    most: Cost
    hours_of: str
    equal: SeedsForEqual | None


def forecast(
    spec: SweepSpec, now: DecisionState, hours: Sequence[float] | None, hours_of: str
) -> Forecast:
    """Forecast the cost of seeds until decided, from the hours of a trial of each cell."""
    rule = spec.seeds
    assert isinstance(rule, UntilDecided)
    cells = len(spec.cells())

    def cost(pairs: Sequence[int]) -> Cost:
        """The cost of so many pairs of each comparison."""
        seeds = [rule.at_least] * cells
        for one, n in zip(now.comparisons, pairs, strict=True):
            for cell in one.cells:
                seeds[cell] = max(seeds[cell], n)
        total = sum(n * h for n, h in zip(seeds, hours, strict=True)) if hours else None
        return Cost(sum(seeds), total)

    likely = None
    if all(len(pairs.seeds) >= _FEWEST_PAIRS for pairs in now.pairs):
        needed = []
        for pairs, verdict, look in zip(now.pairs, now.verdicts, now.looks, strict=True):
            n = int(look)
            if verdict == UNDECIDED:
                more = more_seeds(pairs, now, rule)
                n = rule.at_most if more is None else len(pairs.seeds) + more
            needed.append(min(n, rule.at_most))
        likely = cost(needed)
    none, all_of_them = [0] * len(now.pairs), [rule.at_most] * len(now.pairs)
    equal = seeds_for_equal(rule, len(now.pairs), now.seen)
    return Forecast(cost(none), likely, cost(all_of_them), hours_of, equal)


def seeds_for_equal(rule: UntilDecided, family: int, seen: Seen | None) -> SeedsForEqual | None:
    """How many seeds ``equal`` takes, found by applying the rule to pairs without a difference.

    Args:
        family: the number of declared comparisons.
        seen: what the certain seeds of all cells show; None while some are missing.
    """
    if rule.practically_equal is None:
        return None
    tried = MOST_SEEDS if rule.method == "sequential" else rule.at_most
    no_failure = np.zeros(tried, dtype=bool)

    def fewest(least_spread: float) -> int | None:
        spread, loss = seen or (np.zeros(()), np.zeros(()))
        shown = Seen(np.maximum(spread, least_spread), loss)
        found = evidence(np.zeros(tried), no_failure, no_failure, rule, family, shown)
        places = np.flatnonzero(found.equal)
        return int(places[0]) + 1 if len(places) else None

    return SeedsForEqual(fewest(0.0), fewest(rule.practically_equal), seen is not None)
