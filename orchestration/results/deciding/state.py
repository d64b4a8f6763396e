"""The state of a declared family of comparisons, from the trials that have ended. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestration.model.metric import Metric
from orchestration.results.deciding.sequential import (
    UNDECIDED,
    Bools,
    Evidence,
    Integers,
    decide,
    evidence,
    shift_interval,
)
from orchestration.results.deciding.unseen import Seen, seen_in
from orchestration.results.statistics import Floats, holm
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import Comparison, UntilDecided

MOST_MORE_SEEDS = 1000
"""A comparison that would need more seeds than that is not given an estimate."""


class Pairs(NamedTuple):
    """The pairs of a comparison up to the first one that is incomplete, in the order of the seeds.

    Args:
        seeds: the seed of each pair.
        differences: first - second. A seed without an accuracy counts as accuracy 0. For another
            metric the difference is NaN if one of both failed: such a pair does not count.
        first_failed, second_failed: whether the trial collapsed, diverged or has no value.
    """

    seeds: tuple[int, ...]
    differences: Floats
    first_failed: Bools
    second_failed: Bools

    def upto(self, n: int) -> Pairs:
        """The first n pairs; if there are fewer, they are repeated."""
        return Pairs(
            self.seeds[:n],
            np.resize(self.differences, n),
            np.resize(self.first_failed, n),
            np.resize(self.second_failed, n),
        )

    @property
    def uncounted(self) -> int:
        """The number of pairs that do not count."""
        return int(np.isnan(self.differences).sum())

    @property
    def mean(self) -> float:
        """The mean difference of the pairs that count; NaN if there are none."""
        known = self.differences[~np.isnan(self.differences)]
        return float(known.mean()) if len(known) else float("nan")

    @property
    def n_failed(self) -> tuple[int, int]:
        """The number of failed seeds in each cell."""
        return int(self.first_failed.sum()), int(self.second_failed.sum())


class DecisionState(NamedTuple):
    """The state of a declared family of comparisons.

    Args:
        verdicts, looks: what :func:`decide` returns.
        seen: what the certain seeds of all cells show; None while some are missing.
    """

    comparisons: list[Comparison]
    pairs: list[Pairs]
    found: list[Evidence]
    verdicts: Integers
    looks: Integers
    seen: Seen | None


def decision_state(spec: SweepSpec, by_cell: Mapping[int, pd.DataFrame]) -> DecisionState:
    """Decide each declared comparison from these trials.

    Args:
        by_cell: trials that count, index ``seed``, by the number of their cell.
    """
    rule = spec.seeds
    assert isinstance(rule, UntilDecided)
    comparisons, order = spec.comparisons(), spec.seed_order()
    metric = spec.judged_by()
    cells = {cell: _in_order(trials, order, metric) for cell, trials in by_cell.items()}
    known = [_pairs(cells[one.first], cells[one.second], order) for one in comparisons]
    seen = _seen(list(cells.values()), rule)
    found = [evidence(*pairs[1:], rule, len(known), seen) for pairs in known]
    return DecisionState(comparisons, known, found, *decide(side_by_side(found), rule), seen)


def _seen(cells: list[_Seeds], rule: UntilDecided) -> Seen | None:
    """What the certain seeds of all cells show; it does not depend on any other trial."""
    n = rule.at_least
    if any(len(cell.failed) < n for cell in cells):
        return None
    return seen_in(*(np.array([part[:n] for part in parts]) for parts in zip(*cells, strict=True)))


class _Seeds(NamedTuple):
    """The results of a cell's seeds, up to the first missing one."""

    values: Floats
    failed: Bools


def _in_order(trials: pd.DataFrame, order: tuple[int, ...], metric: Metric) -> _Seeds:
    there = set(trials.index)
    n = next((number for number, seed in enumerate(order) if seed not in there), len(order))
    rows = trials.loc[list(order[:n])]
    values = rows[metric.best_name].to_numpy(float)
    failed = rows["outcome"].isin(["collapsed", "diverged"]).to_numpy(bool) | np.isnan(values)
    if metric.is_fraction:
        return _Seeds(np.nan_to_num(values, nan=0.0), failed)
    return _Seeds(np.where(failed, np.nan, values), failed)


def _pairs(first: _Seeds, second: _Seeds, order: tuple[int, ...]) -> Pairs:
    """The pairs up to the first seed that one of the two cells lacks."""
    n = min(len(first.failed), len(second.failed))
    differences = first.values[:n] - second.values[:n]
    return Pairs(order[:n], differences, first.failed[:n], second.failed[:n])


def level_of(
    now: DecisionState, rule: UntilDecided, look: float = math.inf, *, but: int | None = None
) -> float:
    """The level that the p of an undecided comparison has to reach at a look, by Holm's method.

    Args:
        look: the number of the look, from 1; see ``sequential.decide``.
        but: the number of a comparison that counts as undecided.
    """
    decided = (now.verdicts != UNDECIDED) & (now.looks <= look)
    if but is not None:
        decided[but] = False
    # The p that each kept, of those found equal too: steps of Holm's where they are small enough.
    kept = [
        float(found.p[min(at, len(found.p)) - 1]) if done else 1.0
        for found, at, done in zip(now.found, now.looks, decided, strict=True)
    ]
    return rule.alpha / max(1, len(kept) - int((holm(np.array(kept)) <= rule.alpha).sum()))


def more_seeds(pairs: Pairs, now: DecisionState, rule: UntilDecided) -> int | None:
    """About how many more seeds decide an undecided comparison, if they are like those so far.

    Returns:
        The number; None if up to :data:`MOST_MORE_SEEDS` do not suffice, or nothing is known yet.
    """
    n = len(pairs.seeds)
    if not n:
        return None
    going_on = n + MOST_MORE_SEEDS if rule.method == "sequential" else rule.at_most
    later = evidence(*pairs.upto(going_on)[1:], rule, len(now.pairs), now.seen)
    decided = (later.p <= level_of(now, rule)) | later.equal
    places = np.flatnonzero(decided[n:])
    return int(places[0]) + 1 if len(places) else None


def interval_shown(
    pairs: Pairs, found: Evidence, rule: UntilDecided, family: int
) -> tuple[float, float]:
    """The interval for the mean difference after these pairs, which is shown beside a verdict.

    If pairs are assumed to be exchangeable, it contains the shifts that their signs do not reject,
    and Student's interval, so it is valid if one of the two is. If there is none, its ends are
    infinite.

    Args:
        pairs: one or more pairs.
        found: their evidence; it may include later pairs.
    """
    last = len(pairs.seeds) - 1
    low, high = float(found.low[last]), float(found.high[last])
    if rule.assumes == "normal" or np.isinf(low):
        return low, high
    shifts = shift_interval(pairs.differences, rule.alpha / family)
    return float(np.fmin(low, shifts[0])), float(np.fmax(high, shifts[1]))


def side_by_side(found: list[Evidence]) -> Evidence:
    """The evidence of comparisons as arrays of one length: the last look of each is repeated."""
    longest = max(len(one.p) for one in found)
    nothing = Evidence(
        np.zeros(1), np.ones(1), np.full(1, -np.inf), np.full(1, np.inf), np.zeros(1, dtype=bool)
    )
    return Evidence(
        *(
            np.array(
                [
                    np.pad(one[i], (0, longest - len(one[i])), mode="edge")
                    if len(one[i])
                    else np.repeat(nothing[i], longest)
                    for one in found
                ]
            )
            for i in range(len(nothing))
        )
    )
