"""Which seeds a sweep with ``seeds: {until: decided}`` buys next. Pure.

The next seed is the one that promises the most growth of log E for a GPU hour, over all
comparisons that are undecided. In which order seeds are bought decides nothing: each comparison is
bought for until its verdict no longer depends on how far the others are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from orchestration.model.metric import Metric
from orchestration.results.deciding.sequential import UNDECIDED, evidence
from orchestration.results.deciding.state import DecisionState, Pairs
from orchestration.results.deciding.verdicts import (
    are_failures_decisive,
    decided_by,
    failures_in_words,
    verdict_of,
)
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

MOST_AHEAD = 2
"""Seeds beyond its next look that a comparison may have, rather than leave a worker idle."""

Places = Collection[tuple[int, int]]
"""Trials: the number of the cell, and the seed."""


class Allocation(NamedTuple):
    """What to buy next.

    Args:
        comparison: for which of the family.
        pair: which of its pairs that completes, from 1.
        trials: cell and seed of each.
    """

    comparison: int
    pair: int
    trials: tuple[tuple[int, int], ...]


def seeds_wanted(
    spec: SweepSpec, now: DecisionState, by_cell: Mapping[int, pd.DataFrame], *, failed: Places = ()
) -> list[int]:
    """How many of the spec's seeds, from the first on, each cell is to have by now.

    Args:
        spec: with seeds until decided.
        now: how the family stands.
        by_cell: trials that have ended, index ``seed``, by the number of their cell.
        failed: trials that have no result and are not tried again: a comparison waits for none of
            them, and gets no further seed.
    """
    rule, order = _rule(spec), spec.seed_order()
    wanted = [
        max(rule.at_least, _beginning(by_cell[cell].index, order)) for cell in range(len(by_cell))
    ]
    for number in _open(spec, now):
        comparison, n = now.comparisons[number], len(now.pairs[number].seeds)
        if not {(cell, order[n]) for cell in comparison.cells} & set(failed):
            for cell in comparison.cells:
                wanted[cell] = max(wanted[cell], n + 1)
    return wanted


def next_allocation(
    spec: SweepSpec,
    now: DecisionState,
    hours: Sequence[float] | None,
    *,
    given: Places,
    failed: Places = (),
) -> Allocation | None:
    """Return the next trials to run; None if there are none.

    The next pair of a comparison comes before pairs that are run ahead of its look. Of those there
    are at most :data:`MOST_AHEAD`, one trial at a time. Among equals, the trial with the most
    expected evidence per hour comes first; if none is expected, the one with the earliest seed.

    Args:
        spec: a spec with seeds until decided.
        now: the state of the family of comparisons.
        hours: the hours of a trial of each cell; None if none is on record.
        given: trials that have ended or are running.
        failed: see :func:`seeds_wanted`.
    """
    rule, order = _rule(spec), spec.seed_order()
    missing: dict[int, tuple[int, frozenset[tuple[int, int]]]] = {}
    for number in _open(spec, now):
        cells, n = now.comparisons[number].cells, len(now.pairs[number].seeds)
        for place in range(n, min(max(n + 1, rule.at_least) + MOST_AHEAD, rule.at_most)):
            pair = {(cell, order[place]) for cell in cells}
            if pair & set(failed):
                break
            if not pair <= set(given):
                missing[number] = place, frozenset(pair.difference(given))
                break
    if not missing:
        return None
    cost = hours or [(cell.epochs or 1) * cell.epoch_cost for cell in spec.cells()]
    growth = {
        number: expected_growth(now.pairs[number], rule, len(now.comparisons)) for number in missing
    }

    def rank(number: int) -> tuple[bool, float, int, int]:
        place, trials = missing[number]
        ahead = place >= max(len(now.pairs[number].seeds) + 1, rule.at_least)
        promised = sum(growth[other] for other, (_, its) in missing.items() if its <= trials)
        return ahead, -promised / sum(cost[cell] for cell, _ in trials), place, number

    best = min(missing, key=rank)
    place, trials = missing[best]
    longest_first = sorted(trials, key=lambda one: (-cost[one[0]], one[0]))
    is_ahead, *_ = rank(best)
    return Allocation(best, place + 1, tuple(longest_first[:1] if is_ahead else longest_first))


def expected_growth(pairs: Pairs, rule: UntilDecided, family: int) -> float:
    """By how much one more pair raises log E on average, if it is like one of those so far.

    Each of them is as probable. Of ``spending``, which has no E, by how much -log p grows. No less
    than 0: what only costs evidence is bought last, and not the sooner for being expensive.
    """
    n = len(pairs.seeds)
    if n == 0:
        return 0.0
    one_more = np.column_stack([np.tile(np.arange(n), (n, 1)), np.arange(n)])
    found = evidence(
        pairs.differences[one_more],
        pairs.first_failed[one_more],
        pairs.second_failed[one_more],
        rule,
        family,
        None,
    )
    log_e = found.log_e if rule.method == "sequential" else -np.log(found.p)
    return max(0.0, float(np.mean(log_e[:, -1] - log_e[:, -2])))


def not_needed(spec: SweepSpec, now: DecisionState, by_cell: Mapping[int, pd.DataFrame]) -> int:
    """How many ended trials no decision uses, present or still to come: run ahead in vain."""
    order = spec.seed_order()
    needed = dict.fromkeys(by_cell, _rule(spec).at_least)
    for comparison, verdict, look in zip(now.comparisons, now.verdicts, now.looks, strict=True):
        n = len(order) if verdict == UNDECIDED else int(look)
        for cell in comparison.cells:
            needed[cell] = max(needed[cell], n)
    return sum(seed in order[needed[cell] :] for cell in by_cell for seed in by_cell[cell].index)


def names_of(spec: SweepSpec, now: DecisionState) -> list[str]:
    """Each comparison in words, such as ``snn none against bntt``, ``method=ours against base``."""
    rows, axes = [cell.given() for cell in spec.cells()], spec.axes()

    def name(axis: str, row: Mapping[str, Any]) -> str:
        return f"{row[axis]}" if spec.train is None else f"{axis}={row[axis]}"

    return [
        f"{' '.join(name(axis, rows[one.first]) for axis in axes if axis in rows[one.first])} "
        f"against {rows[one.second][one.axis]}"
        for one in now.comparisons
    ]


def verdicts_in_words(spec: SweepSpec, now: DecisionState) -> list[str]:
    """What is decided of each comparison, such as ``snn none against bntt: worse …``, or empty."""
    words, metric, rule = [], spec.judged_by(), _rule(spec)
    for name, pairs, verdict, look in zip(
        names_of(spec, now), now.pairs, now.verdicts, now.looks, strict=True
    ):
        if verdict == UNDECIDED:
            words.append("")
            continue
        used = pairs.upto(min(int(look), len(pairs.seeds)))
        n, found = len(used.seeds), verdict_of(verdict, used, rule, metric)
        basis = _by(verdict, used, rule, metric)
        words.append(f"{name}: {found} after {n} seeds, by {basis} ({rule.assumes})")
    return words


def _by(verdict: int, pairs: Pairs, rule: UntilDecided, metric: Metric) -> str:
    """What a verdict rests on."""
    difference = pairs.mean
    failures = ""
    if "failures" in (decided_by(verdict, pairs, rule) or ""):
        failures = f"failures ({failures_in_words(*pairs.n_failed, len(pairs.seeds))})"
    if are_failures_decisive(verdict, pairs, rule, metric):
        return failures
    told = f"{100 * difference:+.2f} points" if metric.is_fraction else f"{difference:+.4g}"
    told = f"{failures} and {told}" if failures else told
    if metric.is_fraction:
        return told
    if pairs.uncounted:
        told += f" without the {pairs.uncounted} in which a trial failed"
    return told


def _rule(spec: SweepSpec) -> UntilDecided:
    assert isinstance(spec.seeds, UntilDecided)
    return spec.seeds


def _open(spec: SweepSpec, now: DecisionState) -> list[int]:
    """The comparisons that get further seeds: undecided ones, and those that may change.

    What is decided at a look for which a comparison has no pair yet, thanks to others that are
    ahead of it, gets its pairs up to that look. Thus each verdict becomes the one that the family
    has when all of it is looked at after the same pair, however the seeds came in.
    """
    return [
        number
        for number, (pairs, verdict, look) in enumerate(
            zip(now.pairs, now.verdicts, now.looks, strict=True)
        )
        if len(pairs.seeds) < _rule(spec).at_most
        and (verdict == UNDECIDED or len(pairs.seeds) < look)
    ]


def _beginning(had: Iterable[int], order: tuple[int, ...]) -> int:
    """How many seeds are there before the first one that is missing."""
    there = set(had)
    return next((i for i, seed in enumerate(order) if seed not in there), len(order))
