"""The gap of tuned networks, with intervals that account for how the settings were selected.

Choosing a setting and estimating its accuracy on the same seeds makes the estimate too good and its
interval too narrow. So each seed is compared at settings that the *other* seeds chose, and also at
settings that it chose alone, each by accuracy on held-out images.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from orchestration.record.names import BEST_EPOCH, BEST_TEST_ACCURACY
from orchestration.render.columns import Column, interval, number, words
from orchestration.render.table import decimal
from orchestration.results.statistics import paired_differences
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData
from snn_norm.norms.table import standard_norm

HELD_OUT = "validation_accuracy"

Wide = pd.DataFrame
"""One row per seed and one column per setting."""

SELECTIONS: dict[str, Callable[[Wide, Any], Any]] = {
    "all seeds": lambda held_out, _seed: held_out.mean().idxmax(),
    "the other seeds": lambda held_out, seed: held_out.drop(index=seed).mean().idxmax(),
    "each seed alone": lambda held_out, seed: held_out.loc[seed].idxmax(),
}
"""What chooses the setting of a seed, from accuracies on held-out images."""


def tuned_gaps(data: ReportData, held: Sequence[str], **where: list[Any]) -> pd.DataFrame:
    """The gap between the standard norm and none, with each side at its selected setting.

    Args:
        data: the sweep's.
        held: axes; the gap is given of all settings, and of those that share values of these.
        where: the values that other axes may have then.
    """
    cells = data.best
    tables = [_gaps(data, cells).assign(grid="all settings")]
    for axis, values in where.items():
        cells = cells[cells[axis].isin(values)]
    for at, of_values in cells.groupby(list(held), sort=False):  # without missing ones
        grid = ", ".join(f"{axis} {value:g}" for axis, value in zip(held, at, strict=True))
        tables.append(_gaps(data, of_values, ["the other seeds"]).assign(grid=grid))
    return pd.concat(tables, ignore_index=True)


def _gaps(
    data: ReportData, tried: pd.DataFrame, selections: Iterable[str] = SELECTIONS
) -> pd.DataFrame:
    """The gap of each network among these cells.

    Returns:
        One row per network and way of selecting: ``architecture``, ``norm``, ``chosen_by``,
        ``n_settings`` (of each side), ``none``, ``with_norm`` (mean test accuracy in percent),
        ``gap_pp``, ``ci_low_pp``, ``ci_high_pp`` (paired by seed, 95 % t-interval), ``at_edge``:
        the values that all seeds chose at an edge of what was tried.
    """
    epochs = data.curves[["run_id", "epoch", HELD_OUT]]
    seeds = data.trials.merge(epochs, left_on=["run_id", BEST_EPOCH], right_on=["run_id", "epoch"])
    rows = []
    for architecture, cells in tried.groupby("architecture", sort=False):
        norm = str(standard_norm(str(architecture), cells["norm"]))
        sides = {name: cells[cells["norm"] == name] for name in ("none", norm)}
        held_out, test = (
            {name: _wide(seeds, of, column) for name, of in sides.items()}
            for column in (HELD_OUT, BEST_TEST_ACCURACY)
        )
        for chosen_by in selections:
            chosen = {
                name: {seed: SELECTIONS[chosen_by](held_out[name], seed) for seed in of.index}
                for name, of in test.items()
            }
            none, own = (
                np.array([test[name].loc[seed, at] for seed, at in chosen[name].items()], float)
                for name in sides
            )
            gap = paired_differences(own, none)
            rows.append(
                {
                    "architecture": architecture,
                    "norm": norm,
                    "chosen_by": chosen_by,
                    "n_settings": len(sides["none"]),
                    "none": none.mean(),
                    "with_norm": own.mean(),
                    "gap_pp": gap["difference"],
                    "ci_low_pp": gap["ci_low"],
                    "ci_high_pp": gap["ci_high"],
                    "at_edge": "; ".join(
                        filter(None, (_edges(of, chosen[name], name) for name, of in sides.items()))
                    ),
                }
            )
    return pd.DataFrame(rows)


def _wide(seeds: pd.DataFrame, cells: pd.DataFrame, column: str) -> Wide:
    wanted = seeds[seeds["cell"].isin(cells.index)]
    return 100 * wanted.pivot_table(index="seed", columns="cell", values=column)


def _edges(cells: pd.DataFrame, chosen: dict[Any, Any], name: str) -> str:
    """The values that lie at an edge of several numbers, where all seeds chose the same one."""
    told = []
    for axis in ("learning_rate", "threshold", "slope"):
        tried = sorted(cells[axis].dropna().unique()) if axis in cells else []
        values = {cells.loc[cell, axis] for cell in chosen.values()} if len(tried) > 1 else set()
        if len(values) == 1 and (value := values.pop()) in (tried[0], tried[-1]):
            told.append(f"{axis} {value:g}")
    return f"{name}: {', '.join(told)}" if told else ""


def _columns(_frame: pd.DataFrame, _metric: Any) -> list[Column]:
    return [
        words("network", "architecture"),
        words("norm"),
        words("grid"),
        number("settings", "n_settings"),
        words("setting chosen by", "chosen_by"),
        number("no norm %", "none", decimal),
        number("norm %", "with_norm", decimal),
        number("gap pp", "gap_pp", decimal),
        interval("95 % CI", "ci_low_pp", "ci_high_pp"),
        words("at an edge of the grid", "at_edge"),
    ]


TABLE = TableDefinition(columns=_columns, remark=lambda *_: "")
