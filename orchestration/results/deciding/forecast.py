"""What seeds until decided will take: certainly, likely, and at most. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from orchestration.results.deciding.sequential import UNDECIDED
from orchestration.results.deciding.state import DecisionState, more_seeds
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

_FEWEST_PAIRS = 2
"""Of a comparison, without which its records say nothing of its spread."""


@dataclass(frozen=True)
class Cost:
    """Of all of a sweep, what has been run included.

    Args:
        trials: how many.
        hours: of them; None where nothing is on record.
    """

    trials: int
    hours: float | None


@dataclass(frozen=True)
class Forecast:
    """What a sweep takes in all.

    Args:
        certain: ``at_least`` seeds of each cell.
        likely: if seeds go on as those so far; None where too little is on record.
        most: ``at_most`` seeds of each cell that is compared.
        hours_of: GPU or core.
    """

    certain: Cost
    likely: Cost | None
    most: Cost
    hours_of: str


def forecast(
    spec: SweepSpec, now: DecisionState, hours: Sequence[float] | None, hours_of: str
) -> Forecast:
    """Foretell what a sweep takes.

    Args:
        spec: with seeds until decided.
        now: how its family stands.
        hours: of a trial of each cell; None where nothing is on record.
        hours_of: GPU or core.
    """
    rule = spec.seeds
    assert isinstance(rule, UntilDecided)
    cells = len(spec.cells())

    def cost(pairs: Sequence[int]) -> Cost:
        """Of so many pairs of each comparison."""
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
    return Forecast(cost(none), likely, cost(all_of_them), hours_of)
