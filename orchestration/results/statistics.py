"""Statistics over the seeds of a cell. Pure.

Every function sorts its input, so the order of the trials does not change a single bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from orchestration.model.metric import TEST_ACCURACY, Metric

Floats = npt.NDArray[np.float64]

_NO_SPREAD = 1e-12  # a smaller standard deviation of accuracies is rounding


def t_interval(
    mean: Floats, std: Floats, n: npt.NDArray[np.integer[Any]], confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """The t-interval of a mean: mean ± t(n-1, (1+confidence)/2) · std / √n.

    Args:
        mean, std, n: one element per sample; std with n - 1 in its denominator.
        confidence: the probability that such an interval contains the true mean of normal values.

    Returns:
        The lower and upper ends; NaN if n < 2. An end may lie outside [0, 1].
    """
    enough = n > 1
    freedom = np.where(enough, n - 1, 1)
    half = special.stdtrit(freedom, (1 + confidence) / 2) * std / np.sqrt(np.maximum(n, 1))
    half = np.where(enough, half, np.nan)
    return mean - half, mean + half


def cell_statistics(trials: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> pd.DataFrame:
    """Summarize each cell over its seeds.

    Args:
        trials: one row per trial: ``cell`` (int), ``seed``, ``accuracy`` (a fraction, or a value of
            the metric; NaN if the trial diverged before its first epoch ended), ``outcome``
            (completed, collapsed, diverged, or missing).

    Returns:
        One row per cell, with the index ``cell``: ``best`` (the best value by the metric's goal),
        ``best_seed`` (its seed, the smallest of several), ``mean``, ``std`` (n - 1), ``ci_low``,
        ``ci_high`` (95 % t-interval of the mean) over the seeds that have a value, including
        collapsed ones; ``n_seeds``, ``n_collapsed``, ``n_diverged``.
    """
    measured = trials[trials["accuracy"].notna()].sort_values(
        ["cell", "accuracy", "seed"],
        ascending=[True, metric.goal == "minimize", True],
        kind="stable",
    )
    cells = trials.groupby("cell")
    answer = measured.drop_duplicates("cell").set_index("cell")[["accuracy", "seed"]]
    answer = answer.set_axis(["best", "best_seed"], axis="columns")
    answer = answer.reindex(np.unique(trials["cell"]))
    accuracies = measured.groupby("cell")["accuracy"]
    answer["mean"], answer["std"] = accuracies.mean(), accuracies.std(ddof=1)
    n = accuracies.size().reindex(answer.index, fill_value=0)
    answer["ci_low"], answer["ci_high"] = t_interval(
        answer["mean"].to_numpy(float), answer["std"].to_numpy(float), n.to_numpy()
    )
    answer["n_seeds"] = cells.size()
    for outcome in ("collapsed", "diverged"):
        answer[f"n_{outcome}"] = (trials["outcome"] == outcome).groupby(trials["cell"]).sum()
    return answer.rename_axis(index="cell")


def expected_best(values: Sequence[float], n: int, metric: Metric = TEST_ACCURACY) -> float:
    """The expected best of n of these values, drawn without replacement.

    With the values in order, x₁ ≤ … ≤ x_N, the best last: Σ xᵢ · C(i-1, n-1) / C(N, n), i from n
    to N. It is the unbiased estimate of the mean best of n seeds; n = 1 gives the mean, n = N the
    best.
    """
    best_first = np.sort(np.asarray(values, dtype=float))
    best_first = best_first if metric.goal == "minimize" else best_first[::-1]
    weights = weights_of_best(len(values), n)
    return math.fsum(weights * best_first[: len(weights)])


def weights_of_best(count: int, n: int) -> Floats:
    """For each of ``count`` values, the best first, the probability to be the best of n drawn."""
    rank = np.arange(1, count - n + 1)
    # Each weight from the one before: C(count-1-rank, n-1) / C(count-rank, n-1).
    return np.cumprod([n / count, *(1 - (n - 1) / (count - rank))])


def middle(samples: Floats, confidence: float) -> tuple[float, float]:
    """The interval that holds this share of some samples, with as many below it as above."""
    tail = (1 - confidence) / 2
    low, high = np.quantile(samples, [tail, 1 - tail])
    return float(low), float(high)


def paired_differences(first: Floats, second: Floats) -> dict[str, float]:
    """Student's t-test of the mean of paired differences, against zero, two-sided.

    Args:
        first, second: the values of the same seeds, in the same order.

    Returns:
        ``difference`` (mean of first - second), ``ci_low``, ``ci_high`` (95 % t-interval), ``t``,
        ``p``. All are NaN without a pair; interval and test are NaN with a single pair; the test is
        NaN if all differences are equal.
    """
    sample = moments(first - second)
    numbers = (sample[0], *t_interval(*sample), *student_t(*sample))
    names = ("difference", "ci_low", "ci_high", "t", "p")
    return dict(zip(names, map(float, numbers), strict=True))


def moments(values: Floats) -> tuple[Floats, Floats, npt.NDArray[np.integer[Any]]]:
    """Mean, standard deviation (n - 1) and number of some values; NaN if they are too few."""
    n = len(values)
    mean = values.mean() if n else math.nan
    std = values.std(ddof=1) if n > 1 else math.nan
    return np.array(mean), np.array(std), np.array(n)


def student_t(mean: Floats, std: Floats, n: npt.NDArray[np.integer[Any]]) -> tuple[Floats, Floats]:
    """Student's t of a mean against zero, and its two-sided p; NaN without a spread."""
    t = np.where((n > 1) & (std > _NO_SPREAD), mean, np.nan) * np.sqrt(n)
    t = t / np.where(std > _NO_SPREAD, std, 1.0)
    return t, 2 * special.stdtr(np.maximum(n - 1, 1), -np.abs(t))


def holm(p_values: Floats) -> Floats:
    """Correct p-values for multiple tests by Holm's step-down method.

    In order, p₁ ≤ … ≤ p_m, the i-th becomes the largest of (m - j + 1) · p_j over j ≤ i, at most 1.
    This bounds the probability of rejecting any true null hypothesis, whether or not the tests are
    independent. NaN stays NaN and is not counted in m. The tests are on the last axis.
    """
    order = np.argsort(p_values, axis=-1, kind="stable")  # NaN comes last
    known = np.count_nonzero(~np.isnan(p_values), axis=-1, keepdims=True)
    factors = known - np.arange(p_values.shape[-1])
    ordered = factors * np.take_along_axis(p_values, order, axis=-1)
    adjusted = np.empty(p_values.shape)
    stepped = np.minimum(np.maximum.accumulate(ordered, axis=-1), 1)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted
