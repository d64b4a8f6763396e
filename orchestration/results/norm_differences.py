"""Whether one norm does better than another: seed by seed, with a test and its correction. Pure."""

from __future__ import annotations

import itertools
from typing import Any

import pandas as pd

from orchestration.results.selection import SELECTED_ON
from orchestration.results.statistics import holm, paired_differences

__all__ = ["norm_differences"]


def norm_differences(seeds: pd.DataFrame, axes: list[str], accuracy: str) -> pd.DataFrame:
    """Compare all pairs of norms within a setting: an architecture and a value of each other axis.

    Args:
        seeds: a row a trial, as ``Results.by_seed`` gives it, in the order of the cells.
        axes: its columns that tell cells apart.
        accuracy: which of its columns to compare.

    Returns:
        A row a pair: the axes but the norm; ``norm`` and ``against``; ``difference_pp``,
        ``ci_low_pp``, ``ci_high_pp`` (mean of norm - against over the seeds that both have, and
        its 95 % t-interval, in percentage points), ``n_pairs``, ``t``, ``p``, and ``p_holm``, p
        corrected for the number of all tests in the table; ``selected_on``, as of ``by_seed``.
    """
    setting = [axis for axis in axes if axis != "norm"]
    rows: list[dict[str, Any]] = []
    groups = seeds.groupby(setting, dropna=False, sort=False) if setting else [((), seeds)]
    for values, group in groups if "norm" in axes else ():
        known = group[group[accuracy].notna()]
        by_norm = {
            norm: known[known["norm"] == norm].set_index("seed")[accuracy].sort_index()
            for norm in group["norm"].dropna().unique()
        }
        for against, norm in itertools.combinations(by_norm, 2):
            common = by_norm[norm].index.intersection(by_norm[against].index)
            found = paired_differences(
                by_norm[norm].loc[common].to_numpy(float),
                by_norm[against].loc[common].to_numpy(float),
            )
            rows.append(
                {
                    **dict(zip(setting, values, strict=True)),
                    "norm": norm,
                    "against": against,
                    "difference_pp": 100 * found["difference"],
                    "ci_low_pp": 100 * found["ci_low"],
                    "ci_high_pp": 100 * found["ci_high"],
                    "n_pairs": len(common),
                    "t": found["t"],
                    "p": found["p"],
                    SELECTED_ON: group[SELECTED_ON].iloc[0],
                }
            )
    columns = ["norm", "against", "difference_pp", "ci_low_pp", "ci_high_pp", "n_pairs", "t", "p"]
    table = pd.DataFrame(rows, columns=[*setting, *columns, SELECTED_ON])
    table.insert(len(table.columns) - 1, "p_holm", holm(table["p"].to_numpy(float)))
    return table
