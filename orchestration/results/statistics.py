"""Numbers from numbers: what a cell's seeds say together. Pure; knows nothing of MLflow.

Every function orders its input itself, so the same trials in any order give the same bits.
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

_NO_SPREAD = 1e-12  # of accuracies; what is below is rounding


def t_interval(
    mean: Floats, std: Floats, n: npt.NDArray[np.integer[Any]], confidence: float = 0.95
) -> tuple[Floats, Floats]:
    """The t-interval of a mean: mean ± t(n-1, (1+confidence)/2) · std / √n.

    Args:
        mean, std, n: one element a sample; std with n - 1 in its denominator.
        confidence: how often such an interval holds the true mean, if values are normal.

    Returns:
        Lower and upper ends; NaN where n < 2. Not clipped: an end may lie outside [0, 1].
    """
    enough = n > 1
    freedom = np.where(enough, n - 1, 1)
    half = special.stdtrit(freedom, (1 + confidence) / 2) * std / np.sqrt(np.maximum(n, 1))
    half = np.where(enough, half, np.nan)
    return mean - half, mean + half


def cell_statistics(trials: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> pd.DataFrame:
    """Sum up each cell over its seeds.

    Args:
        trials: a trial a row: ``cell`` (int), ``seed``, ``accuracy`` (a fraction, NaN where the
            trial diverged before its first epoch ended), ``outcome`` (completed, collapsed,
            diverged, or missing).
        metric: what the accuracies are of, if it is another.

    Returns:
        A row a cell, index ``cell``: ``best`` (the largest accuracy, or what the metric's goal
        is), ``best_seed`` (its seed, the
        smallest of several), ``mean``, ``std`` (n - 1), ``ci_low``, ``ci_high`` (95 % t-interval
        of the mean) over the seeds that have an accuracy, collapsed ones among them;
        ``n_seeds``, ``n_collapsed``, ``n_diverged``.
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
    to N. It is the unbiased estimate of what a best of n seeds is worth on average; n = 1 gives
    the mean, n = N the best.

    Args:
        values: one a seed.
        n: from 1 to their number.
    """
    best_first = np.sort(np.asarray(values, dtype=float))
    best_first = best_first if metric.goal == "minimize" else best_first[::-1]
    rank = np.arange(1, len(values) - n + 1)
    # Each weight from the one before: C(N-1-rank, n-1) / C(N-rank, n-1).
    weights = np.cumprod([n / len(values), *(1 - (n - 1) / (len(values) - rank))])
    return math.fsum(weights * best_first[: len(weights)])


def paired_differences(first: Floats, second: Floats) -> dict[str, float]:
    """Student's t-test of the mean of paired differences, against zero, two-sided.

    Args:
        first, second: the values of the same seeds, in the same order.

    Returns:
        ``difference`` (mean of first - second), ``ci_low``, ``ci_high`` (95 % t-interval), ``t``,
        ``p``. What cannot be had is NaN: all of them without a pair; interval and test with a
        single one; the test where all differences are equal, so that they have no spread.
    """
    differences = first - second
    n = len(differences)
    mean = float(differences.mean()) if n else math.nan
    std = float(differences.std(ddof=1)) if n > 1 else math.nan
    low, high = t_interval(np.array(mean), np.array(std), np.array(n))
    t, p = student_t(np.array(mean), np.array(std), np.array(n))
    return {
        "difference": mean,
        "ci_low": float(low),
        "ci_high": float(high),
        "t": float(t),
        "p": float(p),
    }


def student_t(mean: Floats, std: Floats, n: npt.NDArray[np.integer[Any]]) -> tuple[Floats, Floats]:
    """Student's t of a mean against zero, and its two-sided p; NaN without a spread."""
    t = np.where((n > 1) & (std > _NO_SPREAD), mean, np.nan) * np.sqrt(n)
    t = t / np.where(std > _NO_SPREAD, std, 1.0)
    return t, 2 * special.stdtr(np.maximum(n - 1, 1), -np.abs(t))


def holm(p_values: Floats) -> Floats:
    """Adjust p-values for that there are several, by Holm's step-down method.

    In order, p₁ ≤ … ≤ p_m, the i-th becomes the largest of (m - j + 1) · p_j over j ≤ i, at most 1.
    It bounds the probability that any true null hypothesis is rejected, however they depend on
    each other. NaN stays NaN and is not counted in m. The tests are on the last axis.
    """
    order = np.argsort(p_values, axis=-1, kind="stable")  # NaN comes last
    known = np.count_nonzero(~np.isnan(p_values), axis=-1, keepdims=True)
    factors = known - np.arange(p_values.shape[-1])
    ordered = factors * np.take_along_axis(p_values, order, axis=-1)
    adjusted = np.empty(p_values.shape)
    stepped = np.minimum(np.maximum.accumulate(ordered, axis=-1), 1)
    np.put_along_axis(adjusted, order, stepped, axis=-1)
    return adjusted
