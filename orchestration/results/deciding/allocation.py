"""Chooses the next seeds of a sweep with ``seeds: {until: decided}``. Pure.

The next seed is the one that promises the most growth of log E per GPU hour, over all undecided
comparisons. The order in which seeds are allocated does not influence any verdict: each comparison
gets seeds until its verdict no longer depends on how far the others have come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.trial import cell_label
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
"""How many seeds beyond its next look a comparison may get, so that no worker is idle."""

Places = Collection[tuple[int, int]]
"""Trials: the number of the cell, and the seed."""


class Allocation(NamedTuple):
    """The trials to run next.

    Args:
        comparison: the index of the comparison that they are for.
        pair: the number of the pair that they complete, from 1.
        trials: the cell and the seed of each trial.
    """

    comparison: int
    pair: int
    trials: tuple[tuple[int, int], ...]


def seeds_wanted(
    spec: SweepSpec, now: DecisionState, by_cell: Mapping[int, pd.DataFrame], *, failed: Places = ()
) -> list[int]:
    """How many of the spec's seeds, in their order, each cell should have by now.

    Args:
        by_cell: trials that have ended, index ``seed``, by the number of their cell.
        failed: trials that have no result and are not tried again. A comparison does not wait for
            such a trial, and gets no further seed.
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
        hours: the hours of a trial of each cell; None if none is on record.
        given: trials that have ended or are running.
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
    """The mean growth of log E with one more pair, which equals any of the pairs so far.

    The method ``spending`` has no E, so the growth is that of -log p. A negative growth counts as
    0: such a pair comes last, and a higher cost must not move it forward.
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
    """How many ended trials no decision uses, now or later; they were run ahead unnecessarily."""
    order = spec.seed_order()
    needed = dict.fromkeys(by_cell, _rule(spec).at_least)
    for comparison, verdict, look in zip(now.comparisons, now.verdicts, now.looks, strict=True):
        n = len(order) if verdict == UNDECIDED else int(look)
        for cell in comparison.cells:
            needed[cell] = max(needed[cell], n)
    return sum(seed in order[needed[cell] :] for cell in by_cell for seed in by_cell[cell].index)


def names_of(spec: SweepSpec, now: DecisionState) -> list[str]:
    """Each comparison in words, such as ``snn none against bntt``, ``method=ours against base``."""
    cells, axes = spec.cells(), spec.axes()
    return [
        f"{cell_label(cells[one.first], axes)} against {cells[one.second].given()[one.axis]}"
        for one in now.comparisons
    ]


def verdicts_in_words(spec: SweepSpec, now: DecisionState) -> list[str]:
    """Each verdict in words, such as ``snn none against bntt: worse …``; empty if undecided."""
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
    """The evidence for a verdict, in words."""
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
    """The comparisons that get further seeds: undecided ones, and those that may still change.

    A comparison may be decided at a look that its own pairs have not reached, because others are
    ahead of it. It then gets its pairs up to that look. So each verdict is the one that follows
    from looking at the whole family after the same pair, in whatever order the trials have ended.
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
    """How many seeds come before the first missing one."""
    there = set(had)
    return next((i for i, seed in enumerate(order) if seed not in there), len(order))
