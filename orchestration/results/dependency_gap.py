"""How much a network depends on its normalization layer, and whether a spiking one does more. Pure.

The dependency gap of an architecture is the accuracy of its standard norm less its accuracy
without any, best of seeds, in percentage points.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from orchestration.results.selection import SELECTED_ON
from orchestration.results.statistics import shortfall
from snn_norm.config import SPIKING_KEYS
from snn_norm.norms.table import standard_norm

__all__ = ["dependency_gap"]


def dependency_gap(best: pd.DataFrame, axes: list[str]) -> pd.DataFrame:
    """Set an architecture's norms side by side.

    Args:
        best: a row a cell, as ``Results.best_of_seeds`` gives it.
        axes: its columns that tell cells apart.

    Returns:
        A row an architecture, and a row more for each value of any further axis: ``architecture``,
        the further axes; ``none``, ``standard``, ``homeostatic`` (best accuracy, a fraction; NaN
        without a result); ``gap_pp`` = 100 · (standard - none); ``ratio``, the gap over that of
        the artificial network in the same setting (NaN where that is not above zero);
        ``note``, in words, what a cell lacks: such a number is not a whole cell's;
        ``selected_on``, as of ``best``.
    """
    keys = ["architecture", *(axis for axis in axes if axis not in ("architecture", "norm"))]
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for cell in best.to_dict("records"):
        setting = tuple(None if pd.isna(cell[key]) else cell[key] for key in keys)
        rows.setdefault(setting, {})[cell["norm"]] = cell
    gaps = {setting: _gap(setting[0], norms) for setting, norms in rows.items()}
    shared = [i for i, key in enumerate(keys) if i > 0 and key not in SPIKING_KEYS]
    base: dict[tuple[Any, ...], list[float]] = {}
    for setting, gap in gaps.items():
        if setting[0] == "ann":
            base.setdefault(tuple(setting[i] for i in shared), []).append(gap["gap_pp"])
    for setting, gap in gaps.items():
        artificial = base.get(tuple(setting[i] for i in shared), [])
        positive = len(artificial) == 1 and artificial[0] > 0
        gap["ratio"] = gap["gap_pp"] / artificial[0] if positive else float("nan")
    first = best.drop_duplicates(keys)[keys].reset_index(drop=True)
    columns = ["none", "standard", "homeostatic", "gap_pp", "ratio", "note", SELECTED_ON]
    return pd.concat([first, pd.DataFrame(list(gaps.values()), columns=columns)], axis="columns")


def _gap(architecture: str, norms: dict[str, dict[str, Any]]) -> dict[str, Any]:
    standard = standard_norm(architecture, norms)
    row: dict[str, Any] = {}
    notes = []
    for column, norm in (("none", "none"), ("standard", standard), ("homeostatic", "homeostatic")):
        cell = norms.get(norm) if norm is not None else None
        row[column] = float("nan") if cell is None else cell["best"]
        lack = "" if cell is None else _lack(cell)
        if lack:
            notes.append(f"{norm}: {lack}")
    row["gap_pp"] = 100 * (row["standard"] - row["none"])
    row["note"] = "; ".join(notes)
    row[SELECTED_ON] = next(iter(norms.values()))[SELECTED_ON]  # one in each setting
    return row


def _lack(cell: dict[str, Any]) -> str:
    names = ("n_seeds", "n_expected", "n_collapsed", "n_diverged")
    return shortfall(*(int(cell[name]) for name in names))
