"""Many norms in one setting: their mean ranks over seeds, and which of them differ. Pure.

As Demšar compares many classifiers (Statistical Comparisons of Classifiers over Multiple Data Sets,
JMLR 7, 2006), with a seed in place of a data set: Friedman's test asks whether any norm differs.
Which ones do is asked of the paired differences, whose tests are corrected by Holm's method, and
not of Nemenyi's critical difference, which is weaker and knows nothing of their sizes.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import special

from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.columns import SELECTED_ON

FEWEST_NORMS = 4
"""Of fewer norms in a setting, the table of differences is read as easily."""

_ALPHA = 0.05

Floats = npt.NDArray[np.float64]


def mean_ranks(seeds: pd.DataFrame, differences: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Rank the norms of each setting that has at least FEWEST_NORMS.

    Args:
        seeds: a row a trial, as ``Results.by_seed`` gives it.
        differences: between its norms, as ``Results.norm_differences`` gives them.
        axes: its columns that tell cells apart.

    Returns:
        A row a norm of such a setting, the best first: the axes but the norm; ``norm``,
        ``mean_rank`` (over the seeds that all of its norms have; 1 is the highest accuracy, and
        equal ones share the mean of their ranks), ``groups`` (letters: norms that share one do not
        differ by any corrected test, p_holm ≤ 0.05, between those ranked from the first of them to
        the last), ``n_seeds``, ``friedman_p`` (of the setting); ``selected_on``. A trial that
        diverged before its first epoch ended ranks last.
    """
    setting = [axis for axis in axes if axis != "norm"]
    rows: list[dict[str, Any]] = []
    for values, group in seeds.groupby(setting, dropna=False, sort=False):
        known = group[group["norm"].notna()]
        accuracies = known.fillna({BEST_TEST_ACCURACY: 0.0}).pivot(
            index="seed", columns="norm", values=BEST_TEST_ACCURACY
        )
        accuracies = accuracies[list(known["norm"].unique())].dropna()
        if accuracies.shape[1] < FEWEST_NORMS or accuracies.empty:
            continue
        ranks = accuracies.rank(axis="columns", ascending=False)
        ordered = ranks.mean().sort_values(kind="stable")
        tests = _tests(differences, dict(zip(setting, values, strict=True)))
        letters = _letters(groups_of(list(ordered.index), tests))
        p = friedman(ranks.to_numpy(float))
        rows += [
            {
                **dict(zip(setting, values, strict=True)),
                "norm": norm,
                "mean_rank": rank,
                "groups": letters[str(norm)],
                "n_seeds": len(ranks),
                "friedman_p": p,
                SELECTED_ON: group[SELECTED_ON].iloc[0],
            }
            for norm, rank in ordered.items()
        ]
    columns = ["norm", "mean_rank", "groups", "n_seeds", "friedman_p", SELECTED_ON]
    return pd.DataFrame(rows, columns=[*setting, *columns])


def friedman(ranks: Floats) -> float:
    """Friedman's test, by χ² with its correction for ties: the p of that no column differs.

    Args:
        ranks: a row a seed, a column a norm.

    Returns:
        p; NaN with a single seed, and where all ranks are ties.
    """
    n, k = ranks.shape
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    if n < 2 or spread == 0:
        return math.nan
    between = float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    return float(special.chdtrc(k - 1, (k - 1) * n**2 * between / spread))


def groups_of(ordered: Sequence[str], differ: Callable[[str, str], bool]) -> list[list[str]]:
    """The longest runs of norms, in the order of their ranks, of which no two differ.

    Args:
        ordered: the norms, the best first.
        differ: whether two of them do.
    """
    ends = []
    for first in range(len(ordered)):
        last = first
        while last + 1 < len(ordered) and not any(
            differ(ordered[last + 1], one) for one in ordered[first : last + 1]
        ):
            last += 1
        ends.append((first, last))
    longest = [one for number, one in enumerate(ends) if not number or one[1] > ends[number - 1][1]]
    return [list(ordered[first : last + 1]) for first, last in longest]


def _tests(differences: pd.DataFrame, setting: dict[str, Any]) -> Callable[[str, str], bool]:
    """Whether two norms of a setting differ by a corrected test."""
    of_setting = differences
    for axis, value in setting.items():
        column = of_setting[axis]
        of_setting = of_setting[column.isna() if pd.isna(value) else column == value]
    found = {
        frozenset((row["norm"], row["against"]))
        for row in of_setting.to_dict("records")
        if row["p_holm"] <= _ALPHA
    }
    return lambda a, b: frozenset((a, b)) in found


def _letters(groups: Sequence[Sequence[str]]) -> dict[str, str]:
    """The letters of each norm's groups: a is the one of the best."""
    names = (
        "".join(letters)
        for n in itertools.count(1)
        for letters in itertools.product("abcdefghijklmnopqrstuvwxyz", repeat=n)
    )
    named = list(zip(groups, names, strict=False))
    norms = [norm for group in groups for norm in group]
    return {norm: " ".join(name for group, name in named if norm in group) for norm in norms}
