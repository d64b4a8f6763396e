"""The importance of each key of the space for a cell's score, and how cells differ in it. Pure.

The importance of a key is the share of the variance of the score, over the whole space, that is
due to this key alone: functional ANOVA on a random forest (Hutter et al., 2014), as Optuna
computes it. What is due to several keys together is not counted, so shares add up to less than 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from orchestration.model.metric import Metric
from orchestration.results.statistics import middle
from orchestration.sweep.dimension import Dimension
from orchestration.sweep.optuna_study import study_of

_LEAST_SETTINGS = 8
_RESAMPLES = 20
_TREES = 16
_CONFIDENCE = 0.9


def search_importance(
    table: pd.DataFrame,
    axes: Sequence[str],
    metric: Metric,
    dimensions: Sequence[Mapping[str, Dimension]],
) -> pd.DataFrame:
    """One row per cell and key of its space, for cells with at least 8 scores.

    Args:
        table: see :func:`~orchestration.results.effects.searching.search_table`.
        axes: the sweep's axes.
        metric: the metric that chooses settings.
        dimensions: of each cell, its dimensions by key.

    Returns:
        The axes; ``key``; ``importance`` with ``ci_low`` and ``ci_high`` (90 % bootstrap interval
        over settings); ``difference`` from the same network without a norm, with ``diff_low`` and
        ``diff_high``, missing where there is none; ``n_settings``; ``cell``. Each sample has the
        same settings by number in all cells, so that differences are of pairs.
    """
    others = [axis for axis in axes if axis != "norm"]
    shares: dict[int, pd.DataFrame] = {}
    without: dict[tuple[str, ...], int] = {}
    for cell in table["cell"].unique().tolist():
        settings = table[table["cell"] == cell]
        if "norm" in axes and settings["norm"].iloc[0] == "none":
            without[tuple(map(str, settings[others].iloc[0]))] = cell
        scored = settings[settings[metric.best_name].notna()]
        in_all = [
            dimension
            for dimension in dimensions[cell].values()
            if scored[dimension.key].notna().all()
        ]
        if in_all and len(scored) >= _LEAST_SETTINGS:
            codes = (map(_code_of(dimension), scored[dimension.key]) for dimension in in_all)
            points = zip(*codes, strict=True)
            scores = metric.sign * scored[metric.best_name]
            shares[cell] = _resampled_shares(
                tuple(map(_unit, in_all)), tuple(points), tuple(scores)
            )
    rows = []
    for cell, of_keys in shares.items():
        of_cell = table[table["cell"] == cell]
        n_settings = int(of_cell[metric.best_name].notna().sum())
        reference = without.get(tuple(map(str, of_cell[others].iloc[0])), cell)
        for key in of_keys:
            row: dict[str, Any] = {axis: of_cell[axis].iloc[0] for axis in axes}
            row |= {"key": key, **_estimate(of_keys[key], "importance", "ci")}
            if reference != cell and key in shares.get(reference, ()):
                difference = of_keys[key] - shares[reference][key]
                row |= _estimate(difference, "difference", "diff")
            rows.append(row | {"n_settings": n_settings, "cell": cell})
    columns = ["key", "importance", "ci_low", "ci_high", "difference", "diff_low", "diff_high"]
    return pd.DataFrame(rows, columns=[*axes, *columns, "n_settings", "cell"])


def _estimate(values: pd.Series, name: str, interval: str) -> dict[str, float]:
    """The first value, which comes from all settings, and the interval of the others."""
    low, high = middle(values.iloc[1:].to_numpy(float), _CONFIDENCE)
    return {name: float(values.iloc[0]), f"{interval}_low": low, f"{interval}_high": high}


def _code_of(dimension: Dimension) -> Callable[[Any], float]:
    """The function from a value to its place in a list, or to a number from 0 to 1 in a range."""
    return dimension.code if dimension.values else dimension.place


def _unit(dimension: Dimension) -> Dimension:
    """The dimension of these codes: from 0 to 1 for a range, numbers for a list."""
    numbers = tuple(range(len(dimension.values)))
    return Dimension(dimension.key, values=numbers, low=0.0, high=1.0)


@lru_cache(maxsize=128)  # a page asks again whenever a trial has finished, perhaps in another cell
def _resampled_shares(
    dimensions: tuple[Dimension, ...],
    points: tuple[tuple[float, ...], ...],
    scores: tuple[float, ...],
) -> pd.DataFrame:
    """The shares of each key (columns): of all settings, then of each sample of them."""
    random = np.random.default_rng(0)
    rows = [_shares(dimensions, points, scores)]
    for _ in range(_RESAMPLES):
        drawn = random.integers(len(scores), size=len(scores)).tolist()
        sample = [points[place] for place in drawn], [scores[place] for place in drawn]
        rows.append(_shares(dimensions, *sample))
    return pd.DataFrame(rows)


def _shares(
    dimensions: Sequence[Dimension], points: Sequence[Sequence[float]], scores: Sequence[float]
) -> dict[str, float]:
    # Imported here because it loads Optuna and scikit-learn.
    from optuna.importance import FanovaImportanceEvaluator

    keys = [dimension.key for dimension in dimensions]
    if len(set(scores)) == 1:  # nothing matters
        return dict.fromkeys(keys, 0.0)
    values = [dict(zip(keys, point, strict=True)) for point in points]
    study = study_of(dimensions, values, scores)
    found = FanovaImportanceEvaluator(n_trees=_TREES, seed=0).evaluate(study)
    return {key: found[key] for key in keys}
