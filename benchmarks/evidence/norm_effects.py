"""What each norm adds to none, and how it differs from its network's standard norm.

One family of tests is declared for each network and setting: every other norm against the standard
one. p is corrected by Holm for this family, and every sentence of the page that says that two norms
differ rests on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.render.columns import Column, axes_of, interval, number
from orchestration.render.table import decimal, p_value
from orchestration.results.statistics import holm, paired_differences
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData
from snn_norm.norms.table import standard_norm

POWER = 0.8
LEVEL = 0.05

_TESTED = ["difference_pp", "ci_low_pp", "ci_high_pp", "p", "detectable_pp"]


def norm_effects(data: ReportData) -> pd.DataFrame:
    """Set each norm against none, and against the standard one.

    Returns:
        One row per cell: the axes; ``n_seeds``, ``n_collapsed``; ``best`` and ``mean`` (test
        accuracy in percent); ``best_gap_pp`` and ``mean_gap_pp``, its difference to the best and
        the mean without a norm, over the seeds that each has; ``difference_pp`` with ``ci_low_pp``,
        ``ci_high_pp`` (95 % t-interval), ``p`` and ``p_holm``: norm - standard norm, paired by
        seed; ``detectable_pp``, the difference that this test would find with a probability of
        80 % after correction, given the spread of its pairs (Bloom 1995).
    """
    setting = [axis for axis in data.axes if axis != "norm"]
    tables = []
    for _, cells in data.best.groupby(setting, dropna=False, sort=False):
        table = cells[[*data.axes, "n_seeds", "n_expected", "n_collapsed"]].assign(
            best=100 * cells["best"], mean=100 * cells["mean"]
        )
        none = table[table["norm"] == "none"]
        for column in ("best", "mean"):
            table[f"{column}_gap_pp"] = table[column] - float(none[column].iloc[0])
        table.loc[none.index, ["best_gap_pp", "mean_gap_pp"]] = np.nan
        standard = standard_norm(cells["architecture"].iloc[0], cells["norm"])
        table["standard"] = standard
        by_norm = {norm: _by_seed(data, cell) for cell, norm in cells["norm"].items()}
        is_tested = ~cells["norm"].isin(["none", standard])
        rows = [
            _against(by_norm[norm], by_norm[standard], is_tested.sum()) if tested else {}
            for norm, tested in zip(cells["norm"], is_tested, strict=True)
        ]
        found = pd.DataFrame(rows, index=cells.index, columns=_TESTED, dtype=float)
        found["p_holm"] = holm(found["p"].to_numpy(float))
        tables.append(table.join(found))
    return pd.concat(tables)


def _by_seed(data: ReportData, cell: Any) -> pd.Series[float]:
    trials = data.trials[data.trials["cell"] == cell]
    return pd.Series(100 * trials.set_index("seed")[BEST_TEST_ACCURACY])


def _against(own: pd.Series[float], standard: pd.Series[float], family: int) -> dict[str, float]:
    common = own.index.intersection(standard.index)
    first, second = (np.asarray(one.loc[common], np.float64) for one in (own, standard))
    found = paired_differences(first, second)
    n = len(common)
    error = float((first - second).std(ddof=1)) / np.sqrt(n) if np.isfinite(found["t"]) else np.nan
    reach = stats.t.ppf(1 - LEVEL / family / 2, n - 1) + stats.t.ppf(POWER, n - 1)
    numbers = [found[name] for name in ("difference", "ci_low", "ci_high", "p")]
    return dict(zip(_TESTED, [*numbers, float(reach) * error], strict=True))


def ratio_of_gaps(data: ReportData) -> tuple[float, float, float]:
    """The spiking network's gap of means over the artificial one's, with Fieller's 95 % interval.

    Over the seeds that all four cells have. The interval has no upper end where the artificial
    network's gap may be 0: it is infinite then.
    """
    gaps = [
        _by_seed(data, _cell(data, network, str(standard_norm(network, data.norms))))
        - _by_seed(data, _cell(data, network, "none"))
        for network in ("snn", "ann")
    ]
    spiking, artificial = pd.concat(gaps, axis="columns", join="inner").dropna().to_numpy().T
    n = len(spiking)
    spread = np.cov(spiking, artificial) * float(stats.t.ppf(0.975, n - 1)) ** 2 / n
    a, b = float(spiking.mean()), float(artificial.mean())
    # The ratios r for which the mean of spiking - r * artificial does not differ from 0.
    square, mixed, constant = b**2 - spread[1, 1], a * b - spread[0, 1], a**2 - spread[0, 0]
    if square <= 0:
        return a / b, -np.inf, np.inf
    root = np.sqrt(mixed**2 - square * constant)
    return a / b, float((mixed - root) / square), float((mixed + root) / square)


def _cell(data: ReportData, architecture: str, norm: str) -> Any:
    best = data.best
    return best.index[(best["architecture"] == architecture) & (best["norm"] == norm)][0]


def _columns(frame: pd.DataFrame, _metric: Any) -> list[Column]:
    axes = list(frame.columns[: frame.columns.get_loc("n_seeds")])
    return [
        *axes_of(frame, axes),
        number("seeds", "n_seeds"),
        number("collapsed", "n_collapsed"),
        number("best %", "best", decimal),
        number("mean %", "mean", decimal),
        number("gap of bests", "best_gap_pp", decimal),
        number("gap of means", "mean_gap_pp", decimal),
        number("to standard", "difference_pp", decimal),
        interval("95 % CI", "ci_low_pp", "ci_high_pp"),
        number("p (Holm)", "p_holm", p_value),
        number("detectable", "detectable_pp", decimal),
    ]


def _mark_standard(frame: pd.DataFrame) -> pd.DataFrame:
    standard = frame["norm"] == frame["standard"]
    return frame.assign(norm=frame["norm"].where(~standard, frame["norm"] + " (standard)"))


TABLE = TableDefinition(columns=_columns, rows=_mark_standard, remark=lambda *_: "")
