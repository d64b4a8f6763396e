"""The best score of a search, and the gap between norms, by the number of settings tried. Pure.

Scores are those of ``orchestration.results.effects.searching.search_table``.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from scipy import stats

from orchestration.errors import InputError
from orchestration.model.metric import Metric
from orchestration.results.effects.searching import SETTING
from orchestration.results.statistics import Floats, expected_best, middle, weights_of_best
from snn_norm.norms.table import standard_norm

_RESAMPLES = 2000
_PERMUTATIONS = 500
_SHIFTS = 91
_CONFIDENCE = 0.95


def best_of_settings(
    table: pd.DataFrame, axes: Sequence[str], metric: Metric, *, is_adaptive: bool = False
) -> pd.DataFrame:
    """The expected score of the best of n settings, for each n, one row per cell and n.

    It is the unbiased form of Tang et al. (2020) of the estimate of Dodge et al. (2019), with a 95
    % bootstrap interval over settings. A pruned setting counts with the score that it had reached.

    Args:
        table: see :func:`~orchestration.results.effects.searching.search_table`.
        axes: the sweep's axes.
        metric: the metric that chooses settings.
        is_adaptive: whether settings depend on earlier ones, as with ``tpe``. Then it is the score
            of the best of the first n, which has no interval.

    Returns:
        The axes, ``n``, ``expected_best``, ``ci_low``, ``ci_high``, and ``cell``.
    """
    rows = []
    for cell, settings in table.groupby("cell", sort=True):
        scores = _scores(settings, metric)
        names = {axis: settings[axis].iloc[0] for axis in axes}
        ends = [(math.nan, math.nan)] * len(scores)
        if len(scores) and not is_adaptive:
            samples = _resampled(scores, metric, np.random.default_rng(0))
            ends = [middle(of_n, _CONFIDENCE) for of_n in samples.T]
        bests = _bests(scores, metric, is_adaptive=is_adaptive)
        for n, (expected, (low, high)) in enumerate(zip(bests, ends, strict=True), 1):
            rows.append(
                {**names, "n": n, "expected_best": expected, "ci_low": low, "ci_high": high}
                | {"cell": cell}
            )
    columns = [*axes, "n", "expected_best", "ci_low", "ci_high", "cell"]
    return pd.DataFrame(rows, columns=columns)


def tuned_gap_by_budget(
    table: pd.DataFrame,
    axes: Sequence[str],
    metric: Metric,
    *,
    by_norm: bool = False,
    is_adaptive: bool = False,
) -> pd.DataFrame:
    """The gap between the best of n settings with a norm and without, for each budget n.

    Args:
        table, axes, metric, is_adaptive: see :func:`best_of_settings`.
        by_norm: whether to return one row for each norm, and not for the standard one alone.

    Returns:
        The axes but ``norm``, ``norm``, ``n_settings``; ``none`` and ``tuned`` (the expected score
        of the best of so many settings, without a norm and with it), ``tuned_gap_pp``,
        ``tuned_ci_low_pp``, ``tuned_ci_high_pp`` (95 % interval by permutation of the settings of
        both sides, so with the choice of the best in it), ``is_standard``.
    """
    others = [axis for axis in axes if axis != "norm"]
    rows = []
    for _, network in table.groupby(others, sort=False, dropna=False):
        names = {axis: network[axis].iloc[0] for axis in others}
        norms = list(dict.fromkeys(network["norm"]))
        standard = standard_norm(names.get("architecture", ""), norms)
        scores = {norm: _scores(network[network["norm"] == norm], metric) for norm in norms}
        if not len(scores.get("none", ())):
            continue
        for norm in norms:
            if norm == "none" or not (by_norm or norm == standard) or not len(scores[norm]):
                continue
            sides = [scores["none"], scores[norm]]
            ends = [(math.nan, math.nan)] * min(map(len, sides))
            if not is_adaptive:
                ends = _permuted_intervals(scores[norm], scores["none"], metric)
            bests = [_bests(side, metric, is_adaptive=is_adaptive) for side in sides]
            for n, (low, high) in enumerate(ends, 1):
                without, with_it = (of_side[n - 1] for of_side in bests)
                rows.append(
                    {
                        **names,
                        "norm": norm,
                        "n_settings": n,
                        "none": without,
                        "tuned": with_it,
                        "tuned_gap_pp": 100 * (with_it - without),
                        "tuned_ci_low_pp": 100 * low,
                        "tuned_ci_high_pp": 100 * high,
                        "is_standard": norm == standard,
                    }
                )
    columns = ["none", "tuned", "tuned_gap_pp", "tuned_ci_low_pp", "tuned_ci_high_pp"]
    return pd.DataFrame(rows, columns=[*others, "norm", "n_settings", *columns, "is_standard"])


def searched_basin(
    table: pd.DataFrame,
    axes: Sequence[str],
    metric: Metric,
    margin: float,
    sampled: Collection[tuple[int, int]] | None = None,
) -> pd.DataFrame:
    """The share of the declared space whose score is near the best one of the cell.

    Args:
        table, axes, metric: see :func:`best_of_settings`.
        margin: how near, in units of the metric.
        sampled: the cell and the number of each setting that belongs to a sample of the space;
            None is all.

    Returns:
        The axes; ``basin`` (the share of the settings tried), ``basin_low``, ``basin_high`` (exact
        95 % interval of Clopper and Pearson: settings are random points of the space), ``best``
        (the best score), ``n_settings``.

    Raises:
        InputError: the margin is negative.
    """
    if not margin >= 0:
        raise InputError(f"points must be 0 or more percentage points, got {100 * margin:g}")
    rows = []
    for cell, settings in table.groupby("cell", sort=True):
        names = {axis: settings[axis].iloc[0] for axis in axes}
        best = (metric.sign * _scores(settings, metric)).max(initial=-math.inf)
        if sampled is not None:
            settings = settings[[(cell, number) in sampled for number in settings[SETTING]]]
        scores = metric.sign * _scores(settings, metric)
        n = len(scores)
        if not n:
            rows.append({**names, "n_settings": 0})
            continue
        near = int((scores >= best - margin - 1e-9).sum())
        rows.append(
            {
                **names,
                "basin": near / n,
                "basin_low": float(stats.beta.ppf(0.025, near, n - near + 1)) if near else 0.0,
                "basin_high": 1.0
                if near == n
                else float(stats.beta.ppf(0.975, near + 1, n - near)),
                "best": metric.sign * float(best),
                "n_settings": n,
            }
        )
    columns = ["basin", "basin_low", "basin_high", "best", "n_settings"]
    return pd.DataFrame(rows, columns=[*axes, *columns])


def _bests(scores: Floats, metric: Metric, *, is_adaptive: bool) -> list[float]:
    """The best of n scores, for each n: the expected one, or that of the first n."""
    if is_adaptive:
        best: list[float] = (metric.sign * np.maximum.accumulate(metric.sign * scores)).tolist()
        return best
    return [expected_best(scores.tolist(), n, metric) for n in range(1, len(scores) + 1)]


def _scores(settings: pd.DataFrame, metric: Metric) -> Floats:
    return settings[metric.best_name].dropna().to_numpy(float)


def _resampled(scores: Floats, metric: Metric, random: np.random.Generator) -> Floats:
    """The expected best of n scores for each n (columns), of resampled scores (rows)."""
    count = len(scores)
    drawn = np.sort(metric.sign * random.choice(scores, (_RESAMPLES, count)), axis=1)[:, ::-1]
    return metric.sign * (drawn @ _weights(count).T)


def _weights(count: int) -> Floats:
    """The probability that the value of a rank (column) is the best of n drawn values (row)."""
    weights = np.zeros((count, count))
    for n in range(1, count + 1):
        of_n = weights_of_best(count, n)
        weights[n - 1, : len(of_n)] = of_n
    return weights


def _permuted_intervals(first: Floats, second: Floats, metric: Metric) -> list[tuple[float, float]]:
    """95 % intervals of the difference of the expected best of n, first - second, for each n.

    They hold the shifts that a permutation test does not reject: if one side's scores, without the
    shift, were drawn like the other's, exchanging scores between sides changes nothing. A bootstrap
    of the largest values would be too narrow.
    """
    counts, most = (len(first), len(second)), min(len(first), len(second))
    weights = [_weights(count)[:most] for count in counts]
    random = np.random.default_rng(0)
    orders = random.permuted(np.tile(np.arange(sum(counts)), (_PERMUTATIONS, 1)), axis=1)
    orders[0] = np.arange(sum(counts))  # as it is
    spread = float(np.ptp(np.concatenate([first, second]))) or 1e-9
    center = float(metric.sign * (np.max(metric.sign * first) - np.max(metric.sign * second)))
    shifts = center + spread * np.linspace(-1.5, 1.5, _SHIFTS)
    kept = np.zeros((_SHIFTS, most), dtype=bool)
    distances = np.zeros((_SHIFTS, most))
    for number, shift in enumerate(shifts):
        pooled = metric.sign * np.concatenate([first - shift, second])[orders]
        sides = (pooled[:, : counts[0]], pooled[:, counts[0] :])
        best = [
            np.sort(side, axis=1)[:, ::-1] @ weight.T
            for side, weight in zip(sides, weights, strict=True)
        ]
        size = np.abs(best[0] - best[1])
        distances[number] = size[0]
        kept[number] = (size >= size[0] - 1e-12).mean(axis=0) > 1 - _CONFIDENCE
    step = shifts[1] - shifts[0]
    ends = []
    for n in range(most):
        kept[np.argmin(distances[:, n]), n] = True  # an interval may lie between two shifts
        places = np.flatnonzero(kept[:, n])
        ends.append((float(shifts[places[0]] - step), float(shifts[places[-1]] + step)))
    return ends
