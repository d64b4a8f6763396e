"""What the declared comparisons of a sweep have come to: a row each. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from orchestration.errors import InputError
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.columns import SELECTED_ON
from orchestration.results.hours import hours_unit
from orchestration.results.sequential import (
    DIFFERENT,
    EQUAL,
    UNDECIDED,
    Bools,
    Evidence,
    Integers,
    decide,
    evidence,
)
from orchestration.results.statistics import Floats, holm
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import Comparison, UntilDecided

__all__ = [
    "MOST_MORE_SEEDS",
    "Pairs",
    "Standing",
    "decisions",
    "level_of",
    "more_seeds",
    "side_by_side",
    "standing",
    "trials_by_cell",
    "verdict_of",
]

MOST_MORE_SEEDS = 1000
"""A comparison that would need more seeds than that is not given an estimate."""

_COLUMNS = [
    "compared", "against", "difference_pp", "ci_low_pp", "ci_high_pp", "e_value", "p", "p_holm",
    "n_pairs", "verdict", "method", "decided_at", "more_seeds", "more_hours", "hours_of",
    SELECTED_ON,
]  # fmt: skip


class Pairs(NamedTuple):
    """The longest complete beginning of a comparison's pairs, in the order of the seeds.

    Args:
        seeds: of each pair.
        differences: of accuracy, first - second; a seed without an accuracy counts as 0.
        first_failed, second_failed: whether it collapsed, diverged or has no accuracy.
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


class Standing(NamedTuple):
    """How a declared family stands: of each comparison its pairs, their evidence, and ``decide``'s
    verdict and look."""

    comparisons: list[Comparison]
    pairs: list[Pairs]
    found: list[Evidence]
    verdicts: Integers
    looks: Integers


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
        ``ci_high_pp`` (infinite where there is none); ``e_value``, ``p``, ``p_holm``;
        ``n_pairs``; ``verdict`` (better, worse, equal, undecided: of the first); ``method``;
        ``decided_at`` (the seed, missing while undecided); ``more_seeds`` (about how many would
        decide it, missing where nobody can tell) and ``more_hours`` (of both cells' trials that it
        takes) with ``hours_of`` (GPU, or core where trials have no GPU); ``selected_on``.

    Raises:
        InputError: the spec declares no comparisons.
    """
    rule = spec.seeds
    if not isinstance(rule, UntilDecided):
        raise InputError(
            "decisions are of comparisons that a spec declares: compare, with "
            "seeds: {until: decided}; this sweep has a list of seeds: see norm_differences()"
        )
    by_cell = trials_by_cell(cells, seeds)
    now = standing(spec, by_cell)
    comparisons, known, found, verdicts, looks = now
    ends = np.minimum(looks, [len(pairs.seeds) for pairs in known])
    p = np.array([one.p[n - 1] if n else 1.0 for one, n in zip(found, ends, strict=True)])
    rows = []
    for one, pairs, look, n, verdict, p_holm in zip(
        comparisons, known, found, ends, verdicts, holm(p), strict=True
    ):
        used = pairs.upto(n)
        more = None if verdict else more_seeds(used, rule, len(known), level_of(now, rule))
        names = cells.loc[one.first]
        rows.append(
            {
                **names.to_dict(),
                "compared": one.axis,
                "against": cells.loc[one.second, one.axis],
                **_numbers(used, look, n),
                "p_holm": p_holm,
                "n_pairs": n,
                "verdict": verdict_of(verdict, used),
                "method": _method(used, rule),
                "decided_at": None if verdict == UNDECIDED else used.seeds[-1],
                "more_seeds": more,
                "more_hours": _hours_of(more, one, n, by_cell, spec.seed_order(), hours),
                "hours_of": hours_unit(spec),
            }
        )
    axes = [name for name in cells if name != SELECTED_ON]
    table = pd.DataFrame(rows, columns=[*axes, *_COLUMNS])
    types = {"decided_at": "Int64", "more_seeds": "Int64", "more_hours": "float64"}
    return table.astype(types)


def trials_by_cell(cells: pd.DataFrame, seeds: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The trials of each cell, index ``seed``; arguments as of :func:`decisions`."""
    trials = seeds.set_index("seed")
    return {cell: trials[(seeds["cell"] == cell).to_numpy()] for cell in cells.index}


def standing(spec: SweepSpec, by_cell: Mapping[int, pd.DataFrame]) -> Standing:
    """Decide each declared comparison as far as these trials go.

    Args:
        spec: with seeds until decided.
        by_cell: trials that count, index ``seed``, by the number of their cell.
    """
    rule = spec.seeds
    assert isinstance(rule, UntilDecided)
    comparisons, order = spec.comparisons(), spec.seed_order()
    cells = {cell: _in_order(trials, order) for cell, trials in by_cell.items()}
    known = [_pairs(cells[one.first], cells[one.second], order) for one in comparisons]
    found = [evidence(*pairs[1:], rule, len(known)) for pairs in known]
    return Standing(comparisons, known, found, *decide(side_by_side(found), rule))


class _Seeds(NamedTuple):
    """What the longest complete beginning of a cell's seeds came to."""

    accuracies: Floats
    failed: Bools


def _in_order(trials: pd.DataFrame, order: tuple[int, ...]) -> _Seeds:
    there = set(trials.index)
    n = next((number for number, seed in enumerate(order) if seed not in there), len(order))
    rows = trials.loc[list(order[:n])]
    accuracies = rows[BEST_TEST_ACCURACY].to_numpy(float)
    failed = rows["outcome"].isin(["collapsed", "diverged"]).to_numpy(bool)
    return _Seeds(np.nan_to_num(accuracies, nan=0.0), failed | np.isnan(accuracies))


def _pairs(first: _Seeds, second: _Seeds, order: tuple[int, ...]) -> Pairs:
    """The pairs up to the first seed that one of both cells lacks."""
    n = min(len(first.failed), len(second.failed))
    differences = first.accuracies[:n] - second.accuracies[:n]
    return Pairs(order[:n], differences, first.failed[:n], second.failed[:n])


def level_of(now: Standing, rule: UntilDecided) -> float:
    """What the p of the next comparison has to reach, by Holm's method."""
    # A step of Holm's is won by what was found different, not by what was found equal.
    return rule.alpha / max(1, int((now.verdicts != DIFFERENT).sum()))


def more_seeds(pairs: Pairs, rule: UntilDecided, family: int, level: float) -> int | None:
    """About how many more seeds decide a comparison, if they go on as those so far.

    Args:
        family: how many comparisons are declared.
        level: what p has to reach.

    Returns:
        None where no number of them up to :data:`MOST_MORE_SEEDS` does, or nothing is known yet.
    """
    n = len(pairs.seeds)
    if not n:
        return None
    going_on = n + MOST_MORE_SEEDS if rule.method == "sequential" else rule.at_most
    later = evidence(*pairs.upto(going_on)[1:], rule, family)
    margin = rule.practically_equal or 0.0
    decided = (later.p <= level) | ((later.low > -margin) & (later.high < margin))
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
    nothing = np.zeros(1), np.ones(1), np.full(1, -np.inf), np.full(1, np.inf)
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


def _numbers(pairs: Pairs, found: Evidence, n: int) -> dict[str, float]:
    if not n:
        return {"ci_low_pp": -np.inf, "ci_high_pp": np.inf, "e_value": 1.0, "p": 1.0}
    log_e, p, low, high = (float(values[n - 1]) for values in found)
    return {
        "difference_pp": 100 * float(pairs.differences.mean()),
        "ci_low_pp": 100 * low,
        "ci_high_pp": 100 * high,
        "e_value": float(np.exp(log_e)),
        "p": p,
    }


def verdict_of(verdict: int, pairs: Pairs) -> str:
    """``decide``'s verdict in a word, of the pairs up to it."""
    if verdict == DIFFERENT:
        return "better" if pairs.differences.mean() > 0 else "worse"
    return "equal" if verdict == EQUAL else "undecided"


def _method(pairs: Pairs, rule: UntilDecided) -> str:
    if rule.method == "spending":
        return "alpha spending"
    failures = np.any(pairs.first_failed | pairs.second_failed)
    return "differences and failures" if failures else "differences"
