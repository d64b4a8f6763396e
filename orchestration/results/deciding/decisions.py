"""The tables of declared comparisons: what is decided, and how the evidence grew. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import Metric
from orchestration.results.columns import SELECTED_ON
from orchestration.results.deciding.hours import hours_unit
from orchestration.results.deciding.sequential import UNDECIDED, Evidence
from orchestration.results.deciding.state import (
    Pairs,
    decision_state,
    interval_shown,
    level_of,
    more_seeds,
)
from orchestration.results.deciding.unseen import unseen_share
from orchestration.results.deciding.verdicts import are_failures_decisive, decided_by, verdict_of
from orchestration.results.statistics import holm
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import Comparison, UntilDecided

UNCOUNTED = "n_uncounted"
"""The column with the number of pairs that do not count."""

NULL_HYPOTHESIS = "null_hypothesis"
"""The column with the null hypothesis of p and e-value: ``exchangeable`` pairs, or ``normal``
differences around 0."""


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


def decisions(
    cells: pd.DataFrame,
    seeds: pd.DataFrame,
    spec: SweepSpec,
    hours: Sequence[float] | None = None,
) -> pd.DataFrame:
    """Decide each declared comparison from its records so far.

    Pairs are taken in the spec's order of the seeds alone, so that the order in which trials
    ended, collapsed ones first, does not matter.

    Args:
        cells: the spec's cells by their number, with one column for each axis, and ``selected_on``.
        seeds: one row for each trial that counts, from ``Results.by_seed``, with ``cell``, its
            number.
        hours: the hours of a trial of each cell, from ``trial_hours``; None if they are unknown.

    Returns:
        One row for each comparison; a decided one has the pairs up to its decision.
        ``docs/seeds-until-decided.md`` has the columns, and ``docs/own-training.md`` those of
        training code of the user's own.

    Raises:
        InputError: the spec declares no comparisons.
    """
    rule = _declared_rule(spec)
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
        interval = interval_shown(used, look, rule, len(known)) if n else (-np.inf, np.inf)
        more = None if verdict else more_seeds(used, now, rule)
        failed = used.n_failed
        names = cells.loc[one.first]
        rows.append(
            {
                **names.to_dict(),
                "compared": one.axis,
                "against": cells.loc[one.second, one.axis],
                **_numbers(used, look, interval, verdict, rule, metric),
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
                **_excluded(used, interval, verdict, rule, metric),
                "more_seeds": more,
                "more_hours": _hours_of(more, one, n, by_cell, spec.seed_order(), hours),
                "hours_of": hours_unit(spec),
            }
        )
    axes = [name for name in cells if name != SELECTED_ON]
    table = pd.DataFrame(rows, columns=[*axes, *_columns(metric)])
    types = {"decided_at": "Int64", "more_seeds": "Int64", "more_hours": "float64"}
    return table.astype(types)


def evidence_curves(cells: pd.DataFrame, seeds: pd.DataFrame, spec: SweepSpec) -> pd.DataFrame:
    """Return one row for each comparison and pair, in the spec's order of both.

    Args:
        cells, seeds, spec: see :func:`decisions`; the spec declares comparisons.

    Returns:
        One row for each comparison and pair. ``docs/seeds-until-decided.md`` has the columns.

    Raises:
        InputError: the spec declares no comparisons.
    """
    rule = _declared_rule(spec)
    metric = spec.judged_by()
    low, high = (metric.difference(name) for name in ("ci_low", "ci_high"))
    now = decision_state(spec, trials_by_cell(cells, seeds))
    axes = [str(name) for name in cells if name != SELECTED_ON]
    rows = []
    for number, (one, pairs, found, verdict, look) in enumerate(
        zip(now.comparisons, now.pairs, now.found, now.verdicts, now.looks, strict=True)
    ):
        names = cells.loc[one.first]
        decided_at = 0 if verdict == UNDECIDED else min(int(look), len(pairs.seeds))
        for n, seed in enumerate(pairs.seeds, 1):
            ends = interval_shown(pairs.upto(n), found, rule, len(now.pairs))
            rows.append(
                {
                    **names[axes].to_dict(),
                    "compared": one.axis,
                    "against": cells.loc[one.second, one.axis],
                    "n": n,
                    "seed": seed,
                    "e_value": float(np.exp(found.log_e[n - 1])),
                    "p": float(found.p[n - 1]),
                    low: metric.scale * ends[0],
                    high: metric.scale * ends[1],
                    "bound": 1 / level_of(now, rule, n, but=number),
                    "verdict": (
                        verdict_of(verdict, pairs.upto(n), rule, metric)
                        if n == decided_at
                        else None
                    ),
                    SELECTED_ON: names[SELECTED_ON],
                    "cell": one.first,
                }
            )
    columns = ["compared", "against", "n", "seed", "e_value", "p", low, high]
    return pd.DataFrame(rows, columns=[*axes, *columns, "bound", "verdict", SELECTED_ON, "cell"])


def trials_by_cell(cells: pd.DataFrame, seeds: pd.DataFrame) -> dict[int, pd.DataFrame]:
    """The trials of each cell, index ``seed``; see :func:`decisions` for the arguments."""
    trials = seeds.set_index("seed")
    return {cell: trials[(seeds["cell"] == cell).to_numpy()] for cell in cells.index}


def _declared_rule(spec: SweepSpec) -> UntilDecided:
    if not isinstance(spec.seeds, UntilDecided):
        raise InputError(
            "decisions are of comparisons that a spec declares: compare, with "
            "seeds: {until: decided}; this sweep has a list of seeds: see norm_differences()"
        )
    return spec.seeds


def _hours_of(
    more: int | None,
    one: Comparison,
    n: int,
    by_cell: Mapping[int, pd.DataFrame],
    order: tuple[int, ...],
    hours: Sequence[float] | None,
) -> float | None:
    """The hours of the missing trials of so many more pairs after the first n."""
    if more is None or hours is None:
        return None
    there = {cell: len(set(by_cell[cell].index) & set(order[n : n + more])) for cell in one.cells}
    return sum(hours[cell] * (more - there[cell]) for cell in one.cells)


def _numbers(
    pairs: Pairs,
    found: Evidence,
    interval: tuple[float, float],
    verdict: int,
    rule: UntilDecided,
    metric: Metric,
) -> dict[str, float]:
    names = [metric.difference(name) for name in ("difference", "ci_low", "ci_high")]
    n = len(pairs.seeds)
    if not n:
        return {names[1]: -np.inf, names[2]: np.inf, "e_value": 1.0, "p": 1.0}
    log_e, p = (float(values[n - 1]) for values in found[:2])
    if are_failures_decisive(verdict, pairs, rule, metric):
        nothing = dict(zip(names, (np.nan, -np.inf, np.inf), strict=True))
        return {**nothing, "e_value": float(np.exp(log_e)), "p": p}
    numbers = (metric.scale * one for one in (pairs.mean, *interval))
    return {**dict(zip(names, numbers, strict=True)), "e_value": float(np.exp(log_e)), "p": p}


def _excluded(
    pairs: Pairs, interval: tuple[float, float], verdict: int, rule: UntilDecided, metric: Metric
) -> dict[str, float]:
    """The mean differences that an undecided comparison without failed seeds excludes."""
    name, n = metric.difference("excluded_above"), len(pairs.seeds)
    nothing = {name: np.nan, "unseen_share": np.nan}
    if verdict != UNDECIDED or rule.assumes == "normal" or not n or any(pairs.n_failed):
        return nothing
    largest = max(-interval[0], interval[1])
    if np.isinf(largest):
        return nothing
    return {name: metric.scale * largest, "unseen_share": float(unseen_share(n, rule.alpha))}


def _method(pairs: Pairs, rule: UntilDecided) -> str:
    if rule.method == "spending":
        return "alpha spending"
    return "differences and failures" if any(pairs.n_failed) else "differences"
