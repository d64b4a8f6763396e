"""What the declared comparisons of a sweep have come to: a row each. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.results.columns import SELECTED_ON
from orchestration.results.deciding.hours import hours_unit
from orchestration.results.deciding.sequential import (
    DIFFERENT,
    EQUAL,
    UNDECIDED,
    Bools,
    Evidence,
    Integers,
    decide,
    evidence,
    log_e_values,
)
from orchestration.results.deciding.unseen import Seen, seen_in, unseen_share
from orchestration.results.statistics import Floats, holm
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import Comparison, UntilDecided

UNCOUNTED = "n_uncounted"
"""The column of the number of pairs that do not count."""

NULL_HYPOTHESIS = "null_hypothesis"
"""The column of what p and e-value are against: ``exchangeable`` pairs, or ``normal`` differences
around 0."""

MOST_MORE_SEEDS = 1000
"""A comparison that would need more seeds than that is not given an estimate."""


def _columns(metric: Metric) -> list[str]:
    differences = [metric.difference(name) for name in ("difference", "ci_low", "ci_high")]
    # One method alone is of training code of the user's own, which may have a key of this name.
    method = ["method"] if metric.is_fraction else []
    # Of accuracies all pairs count.
    uncounted = [] if metric.is_fraction else [UNCOUNTED]
    return [
        "compared", "against", *differences, "e_value", "p", "p_holm",
        "n_pairs", *uncounted, "n_failed", "n_failed_against", "verdict", NULL_HYPOTHESIS, *method,
        "decided_by", "decided_at", metric.difference("excluded_above"), "unseen_share",
        "more_seeds", "more_hours", "hours_of", SELECTED_ON,
    ]  # fmt: skip


class Pairs(NamedTuple):
    """The longest complete beginning of a comparison's pairs, in the order of the seeds.

    Args:
        seeds: of each pair.
        differences: of accuracy, first - second; a seed without an accuracy counts as 0. Of another
            metric, NaN where one of both failed: such a pair does not count.
        first_failed, second_failed: whether it collapsed, diverged or has no value.
    """

    seeds: tuple[int, ...]
    differences: Floats
    first_failed: Bools
    second_failed: Bools

    def upto(self, n: int) -> Pairs:
        """The first n of them; beyond their number they begin again, as if all went on so."""
        return Pairs(
            self.seeds[:n],
            np.resize(self.differences, n),
            np.resize(self.first_failed, n),
            np.resize(self.second_failed, n),
        )

    @property
    def uncounted(self) -> int:
        """How many of them do not count."""
        return int(np.isnan(self.differences).sum())

    @property
    def n_failed(self) -> tuple[int, int]:
        """How many seeds failed in each cell."""
        return int(self.first_failed.sum()), int(self.second_failed.sum())


class DecisionState(NamedTuple):
    """How a declared family stands: of each comparison its pairs, their evidence, and ``decide``'s
    verdict and look; and what the certain seeds of all cells show, None while some are missing."""

    comparisons: list[Comparison]
    pairs: list[Pairs]
    found: list[Evidence]
    verdicts: Integers
    looks: Integers
    seen: Seen | None


def decisions(
    cells: pd.DataFrame,
    seeds: pd.DataFrame,
    spec: SweepSpec,
    hours: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Decide each declared comparison as far as its records go.

    Pairs are taken in the spec's order of the seeds alone, so that the order in which trials
    ended, collapsed ones first, does not matter.

    Args:
        cells: the spec's cells by their number: a column an axis, and ``selected_on``.
        seeds: a row a trial that counts, as of ``Results.by_seed``, and ``cell``, its number.
        spec: of the sweep.
        hours: of a trial of each cell, as of ``trial_hours``; None where they are not known.

    Returns:
        A row a comparison; a decided one tells of the pairs up to its decision. The axes of the
        first cell; ``compared`` (the axis in which they differ) and ``against`` (the second's value
        of it); ``difference_pp`` (mean of first - second, percentage points), ``ci_low_pp``,
        ``ci_high_pp`` (infinite where there is none); ``e_value``, ``p``, ``p_holm``; ``n_pairs``;
        ``n_failed`` and ``n_failed_against`` (seeds that failed in the first and the second cell);
        ``verdict`` (of the first: better, worse, equal, undecided, or different, where failures and
        means point apart); ``null_hypothesis`` (exchangeable or normal); ``method``;
        ``decided_by`` (differences, failures or both; missing where none was found);
        ``decided_at`` (the seed, missing while undecided); ``excluded_above_pp`` and
        ``unseen_share`` (while undecided: no mean difference is larger, unless a larger share of
        seeds fails; missing where that cannot be said); ``more_seeds`` (about how many would
        decide it, missing where nobody can tell) and ``more_hours`` (of both cells' trials that it
        takes) with ``hours_of`` (GPU, or core where trials have no GPU); ``selected_on``.

        Of training code of the user's own ``difference``, ``ci_low`` and ``ci_high`` are in the
        units of its metric, over the pairs in which neither trial failed; ``n_uncounted`` is the
        number of the others, and ``method`` is absent. Where failures tell the verdict, the row has
        neither a difference nor an interval.

    Raises:
        InputError: the spec declares no comparisons.
    """
    rule = declared_rule(spec)
    by_cell = trials_by_cell(cells, seeds)
    now = decision_state(spec, by_cell)
    comparisons, known, found, verdicts, looks, _ = now
    metric = spec.judged_by()
    ends = np.minimum(looks, [len(pairs.seeds) for pairs in known])
    p = np.array([one.p[n - 1] if n else 1.0 for one, n in zip(found, ends, strict=True)])
    rows = []
    for one, pairs, look, n, verdict, p_holm in zip(
        comparisons, known, found, ends, verdicts, holm(p), strict=True
    ):
        used = pairs.upto(n)
        more = None if verdict else more_seeds(used, now, rule)
        failed = used.n_failed
        names = cells.loc[one.first]
        rows.append(
            {
                **names.to_dict(),
                "compared": one.axis,
                "against": cells.loc[one.second, one.axis],
                **_numbers(used, look, verdict, rule, metric),
                "p_holm": p_holm,
                "n_pairs": n,
                **({} if metric.is_fraction else {UNCOUNTED: used.uncounted}),
                "n_failed": failed[0],
                "n_failed_against": failed[1],
                "verdict": verdict_of(verdict, used, rule, metric),
                NULL_HYPOTHESIS: rule.assumes,
                **({"method": _method(used, rule)} if metric.is_fraction else {}),
                "decided_by": decided_by(verdict, used, rule),
                "decided_at": None if verdict == UNDECIDED else used.seeds[-1],
                **_excluded(used, look, verdict, rule, metric),
                "more_seeds": more,
                "more_hours": _hours_of(more, one, n, by_cell, spec.seed_order(), hours),
                "hours_of": hours_unit(spec),
            }
        )
    axes = [name for name in cells if name != SELECTED_ON]
    table = pd.DataFrame(rows, columns=[*axes, *_columns(metric)])
    types = {"decided_at": "Int64", "more_seeds": "Int64", "more_hours": "float64"}
    return table.astype(types)


def trials_by_cell(cells: pd.DataFrame, seeds: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The trials of each cell, index ``seed``; arguments as of :func:`decisions`."""
    trials = seeds.set_index("seed")
    return {cell: trials[(seeds["cell"] == cell).to_numpy()] for cell in cells.index}


def declared_rule(spec: SweepSpec) -> UntilDecided:
    """The rule by which a spec's comparisons are decided.

    Raises:
        InputError: the spec declares no comparisons.
    """
    if not isinstance(spec.seeds, UntilDecided):
        raise InputError(
            "decisions are of comparisons that a spec declares: compare, with "
            "seeds: {until: decided}; this sweep has a list of seeds: see norm_differences()"
        )
    return spec.seeds


def decision_state(spec: SweepSpec, by_cell: Mapping[int, pd.DataFrame]) -> DecisionState:
    """Decide each declared comparison as far as these trials go.

    Args:
        spec: with seeds until decided.
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
    """What the certain seeds of all cells show: whatever else has ended, it stays the same."""
    n = rule.at_least
    if any(len(cell.failed) < n for cell in cells):
        return None
    return seen_in(*(np.array([part[:n] for part in parts]) for parts in zip(*cells, strict=True)))


class _Seeds(NamedTuple):
    """What the longest complete beginning of a cell's seeds came to."""

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
    """The pairs up to the first seed that one of both cells lacks."""
    n = min(len(first.failed), len(second.failed))
    differences = first.values[:n] - second.values[:n]
    return Pairs(order[:n], differences, first.failed[:n], second.failed[:n])


def level_of(
    now: DecisionState, rule: UntilDecided, look: float = math.inf, *, but: int | None = None
) -> float:
    """What the p of a comparison still undecided has to reach after a look, by Holm's method.

    Args:
        look: as of ``.sequential.decide``, from 1.
        but: the number of one that is taken as undecided.
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
    """About how many more seeds decide a comparison, if they go on as those so far.

    Args:
        pairs: of an undecided comparison of the family.
        now: how the family stands.

    Returns:
        None where no number of them up to :data:`MOST_MORE_SEEDS` does, or nothing is known yet.
    """
    n = len(pairs.seeds)
    if not n:
        return None
    going_on = n + MOST_MORE_SEEDS if rule.method == "sequential" else rule.at_most
    later = evidence(*pairs.upto(going_on)[1:], rule, len(now.pairs), now.seen)
    decided = (later.p <= level_of(now, rule)) | later.equal
    places = np.flatnonzero(decided[n:])
    return int(places[0]) + 1 if len(places) else None


def _hours_of(
    more: int | None,
    one: Comparison,
    n: int,
    by_cell: Mapping[int, pd.DataFrame],
    order: tuple[int, ...],
    hours: Sequence[float] | None,
) -> float | None:
    """Of so many more pairs after the first n: of the trials of them that are not there yet."""
    if more is None or hours is None:
        return None
    there = {cell: len(set(by_cell[cell].index) & set(order[n : n + more])) for cell in one.cells}
    return sum(hours[cell] * (more - there[cell]) for cell in one.cells)


def side_by_side(found: list[Evidence]) -> Evidence:
    """Comparisons side by side, the last look of each repeated to the length of the longest."""
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


def _numbers(
    pairs: Pairs, found: Evidence, verdict: int, rule: UntilDecided, metric: Metric
) -> dict[str, float]:
    names = [metric.difference(name) for name in ("difference", "ci_low", "ci_high")]
    n = len(pairs.seeds)
    if not n:
        return {names[1]: -np.inf, names[2]: np.inf, "e_value": 1.0, "p": 1.0}
    log_e, p, low, high = (float(values[n - 1]) for values in found[:4])
    if are_failures_decisive(verdict, pairs, rule, metric):
        nothing = dict(zip(names, (np.nan, -np.inf, np.inf), strict=True))
        return {**nothing, "e_value": float(np.exp(log_e)), "p": p}
    numbers = (metric.scale * one for one in (mean_difference(pairs), low, high))
    return {**dict(zip(names, numbers, strict=True)), "e_value": float(np.exp(log_e)), "p": p}


def _excluded(
    pairs: Pairs, found: Evidence, verdict: int, rule: UntilDecided, metric: Metric
) -> dict[str, float]:
    """Which means an undecided comparison excludes, if none of its seeds has failed."""
    name, n = metric.difference("excluded_above"), len(pairs.seeds)
    nothing = {name: np.nan, "unseen_share": np.nan}
    if verdict != UNDECIDED or rule.assumes == "normal" or not n or any(pairs.n_failed):
        return nothing
    largest = max(-float(found.low[n - 1]), float(found.high[n - 1]))
    if np.isinf(largest):
        return nothing
    return {name: metric.scale * largest, "unseen_share": float(unseen_share(n, rule.alpha))}


def mean_difference(pairs: Pairs) -> float:
    """Of the pairs that count; NaN where none does."""
    known = pairs.differences[~np.isnan(pairs.differences)]
    return float(known.mean()) if len(known) else float("nan")


def verdict_of(
    verdict: int, pairs: Pairs, rule: UntilDecided, metric: Metric = TEST_ACCURACY
) -> str:
    """``decide``'s verdict in a word, of the pairs up to it.

    Evidence from failures has the direction of failures, that from differences has the direction
    of their mean. Where they point apart, the first cell is neither better nor worse.
    """
    if verdict != DIFFERENT:
        return "equal" if verdict == EQUAL else "undecided"
    directions = {np.sign(direction) for direction in _directions(pairs, rule, metric)} - {0.0}
    if len(directions) != 1:
        return "different"
    return "better" if directions == {1.0} else "worse"


def _directions(pairs: Pairs, rule: UntilDecided, metric: Metric) -> list[float]:
    """What speaks for the first cell (above 0) or against it (below)."""
    goal = 1 if metric.goal == "maximize" else -1
    mean = goal * mean_difference(pairs)
    if rule.method == "spending":  # failed seeds count with what they reached
        return [mean]
    by = decided_by(DIFFERENT, pairs, rule) or ""
    directions = []
    if "failures" in by:
        first, second = pairs.n_failed
        directions.append(float(second - first))
    if "differences" in by:
        failed = pairs.first_failed | pairs.second_failed
        learned = pairs._replace(differences=np.where(failed, np.nan, pairs.differences))
        directions.append(goal * mean_difference(learned))
    # The mean that stands beside the verdict has the accuracies of failed seeds in it.
    return [*directions, mean] if metric.is_fraction else directions


def decided_by(verdict: int, pairs: Pairs, rule: UntilDecided) -> str | None:
    """What the evidence of a difference is of: ``differences``, ``failures``, or both."""
    if verdict != DIFFERENT:
        return None
    if rule.method == "spending":
        return "differences"
    of_each = log_e_values(pairs.differences, pairs.first_failed, pairs.second_failed, rule)
    names = ("differences", "failures")
    return " and ".join(name for name, log_e in zip(names, of_each, strict=True) if log_e[-1] > 0)


def are_failures_decisive(verdict: int, pairs: Pairs, rule: UntilDecided, metric: Metric) -> bool:
    """Whether only failures tell two that differ apart, and failed seeds have no difference.

    A failed seed's accuracy is a difference like another. Of another metric it has no value.
    """
    return not metric.is_fraction and decided_by(verdict, pairs, rule) == "failures"


def failures_in_words(first: int, second: int, n: int) -> str:
    """How many seeds of n failed in each cell, such as ``5 of 8 seeds failed, against 0``."""
    return f"{first} of {n} seeds failed, against {second}"


def _method(pairs: Pairs, rule: UntilDecided) -> str:
    if rule.method == "spending":
        return "alpha spending"
    return "differences and failures" if any(pairs.n_failed) else "differences"
