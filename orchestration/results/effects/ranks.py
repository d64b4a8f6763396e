"""Many norms in one setting: their mean ranks over seeds, and which of them differ. Pure.

This is Demšar's comparison of many classifiers (Statistical Comparisons of Classifiers over
Multiple Data Sets, JMLR 7, 2006), with seeds in place of data sets. Friedman's test shows whether
any norms differ. The paired differences, whose tests are corrected by Holm's method, show which
ones do. Nemenyi's critical difference is not used: it is weaker, as it ignores their sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
from scipy import special

from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.results.columns import SELECTED_ON, letter
from orchestration.results.statistics import Floats

FEWEST_NORMS = 4
"""For fewer norms in a setting, the table of differences is as easy to read."""

_ALPHA = 0.05


def mean_ranks(seeds: pd.DataFrame, differences: pd.DataFrame, axes: Sequence[str]) -> pd.DataFrame:
    """Rank the norms of each setting that has at least FEWEST_NORMS.

    Args:
        seeds: one row per trial, from ``Results.by_seed``.
        differences: the differences between norms, from ``Results.norm_differences``.
        axes: the columns that distinguish cells.

    Returns:
        One row per norm of such a setting, the best first. ``docs/analyses.md`` has the columns. A
        trial that diverged before the end of its first epoch ranks last.
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
        groups = groups_of(list(ordered.index), tests)
        p = friedman(ranks.to_numpy(float))
        rows += [
            {
                **dict(zip(setting, values, strict=True)),
                "norm": norm,
                "mean_rank": rank,
                "groups": " ".join(letter(n) for n, alike in enumerate(groups) if norm in alike),
                "n_seeds": len(ranks),
                "friedman_p": p,
                SELECTED_ON: group[SELECTED_ON].iloc[0],
            }
            for norm, rank in ordered.items()
        ]
    columns = ["norm", "mean_rank", "groups", "n_seeds", "friedman_p", SELECTED_ON]
    return pd.DataFrame(rows, columns=[*setting, *columns])


def friedman(ranks: Floats) -> float:
    """Friedman's test that no column differs, by χ² with its correction for ties.

    Args:
        ranks: one row per seed and one column per norm.

    Returns:
        p; NaN for a single seed, and if all ranks are ties.
    """
    n, k = ranks.shape
    spread = float(((ranks - (k + 1) / 2) ** 2).sum())
    if n < 2 or spread == 0:
        return math.nan
    between = float(((ranks.mean(axis=0) - (k + 1) / 2) ** 2).sum())
    return float(special.chdtrc(k - 1, (k - 1) * n**2 * between / spread))


def groups_of(ordered: Sequence[str], differ: Callable[[str, str], bool]) -> list[list[str]]:
    """The longest sequences of norms, given the best first, in which no two norms differ."""
    ends = []
    for first in range(len(ordered)):
        last = first
        while last + 1 < len(ordered) and not any(
            differ(ordered[last + 1], norm) for norm in ordered[first : last + 1]
        ):
            last += 1
        ends.append((first, last))
    return [
        list(ordered[first : last + 1])
        for number, (first, last) in enumerate(ends)
        if number == 0 or last > ends[number - 1][1]
    ]


def _tests(differences: pd.DataFrame, setting: dict[str, Any]) -> Callable[[str, str], bool]:
    """Whether two norms of a setting differ by a corrected test."""
    of_setting = differences
    for axis, value in setting.items():
        column = of_setting[axis]
        of_setting = of_setting[column.isna() if pd.isna(value) else column == value]
    different = {
        frozenset((row["norm"], row["against"]))
        for row in of_setting.to_dict("records")
        if row["p_holm"] <= _ALPHA
    }
    return lambda a, b: frozenset((a, b)) in different
