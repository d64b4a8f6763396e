"""Numbers from numbers: what a cell's seeds say together. Pure; knows nothing of MLflow.

Every function orders its input itself, so the same trials in any order give the same bits.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import scipy.stats

__all__ = ["cell_statistics", "shortfall", "t_interval"]

Floats = npt.NDArray[np.float64]


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
    half = scipy.stats.t.ppf((1 + confidence) / 2, freedom) * std / np.sqrt(np.maximum(n, 1))
    half = np.where(enough, half, np.nan)
    return mean - half, mean + half


def cell_statistics(trials: pd.DataFrame) -> pd.DataFrame:
    """Sum up each cell over its seeds.

    Args:
        trials: a trial a row: ``cell`` (int), ``seed``, ``accuracy`` (a fraction, NaN where the
            trial diverged before its first epoch ended), ``outcome`` (completed, collapsed,
            diverged, or missing).

    Returns:
        A row a cell, index ``cell``: ``best`` (the largest accuracy), ``best_seed`` (its seed, the
        smallest of several), ``mean``, ``std`` (n - 1), ``ci_low``, ``ci_high`` (95 % t-interval
        of the mean) over the seeds that have an accuracy, collapsed ones among them;
        ``n_seeds``, ``n_collapsed``, ``n_diverged``.
    """
    ordered = trials.sort_values(["cell", "seed"], kind="stable")
    cells = ordered.groupby("cell")
    measured = ordered[ordered["accuracy"].notna()]
    accuracies = measured.groupby("cell")["accuracy"]
    best = measured.sort_values(
        ["cell", "accuracy", "seed"], ascending=[True, False, True], kind="stable"
    ).drop_duplicates("cell")
    answer = best.set_index("cell")[["accuracy", "seed"]].reindex(sorted(cells.groups))
    answer.columns = pd.Index(["best", "best_seed"])
    answer["mean"], answer["std"] = accuracies.mean(), accuracies.std(ddof=1)
    n = accuracies.size().reindex(answer.index, fill_value=0)
    answer["ci_low"], answer["ci_high"] = t_interval(
        answer["mean"].to_numpy(float), answer["std"].to_numpy(float), n.to_numpy()
    )
    answer["n_seeds"] = cells.size()
    for outcome in ("collapsed", "diverged"):
        answer[f"n_{outcome}"] = (ordered["outcome"] == outcome).groupby(ordered["cell"]).sum()
    return answer


def shortfall(n_seeds: int, n_expected: int, n_collapsed: int, n_diverged: int) -> str:
    """Say in words what a cell lacks; empty where every seed finished, learned and stayed finite.

    Only a cell without a shortfall may be called the best of its kind.
    """
    lacks = []
    if n_seeds == 0:
        lacks.append("no results")
    elif n_seeds < n_expected:
        lacks.append(f"incomplete {n_seeds}/{n_expected}")
    if n_collapsed:
        lacks.append(f"collapsed {n_collapsed}/{n_seeds}")
    if n_diverged:
        lacks.append(f"diverged {n_diverged}/{n_seeds}")
    return ", ".join(lacks)
