"""Operations (in millions) and energy (in nanojoules) of trained networks, per image."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.render.columns import Column, axes_before, interval, number
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables.definition import Macros, Section, TableDefinition
from orchestration.tables.report_data import ReportData

CAVEAT = (
    "An estimate for 45 nm: 4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate; without memory, "
    "data movement and the neurons' own updates. Averages of spikes, behind pools, are multiplied "
    "(nJ an image), or folded into the weights after them, so that each spike is accumulated (nJ "
    "folded)."
)


_ENERGIES = [
    f"{convention}energy_{part}"
    for convention in ("", "folded_")
    for part in ("nj", "ci_low", "ci_high")
]


def _frame(data: ReportData) -> pd.DataFrame | None:
    """One row per cell whose number is the index; None where no energy is known."""
    energy = data.sweep.energy(data.trials, data.curves, numbered=True)
    return None if energy.empty else energy


def _millions(operations: float) -> str:
    return f"{operations / 1e6:.3f}"


def _nanojoules(energy: float) -> str:
    return f"{energy:.1f}"


def _columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    return [
        *axes_before(frame, "accuracy"),
        number("mean %", "accuracy", metric.number),
        number("AC M", "accumulates", _millions),
        number("MAC M", "multiply_accumulates", _millions),
        number("nJ an image", "energy_nj", _nanojoules),
        interval("95 % CI", "energy_ci_low", "energy_ci_high", _nanojoules),
        number("nJ folded", "folded_energy_nj", _nanojoules),
        interval("95 % CI folded", "folded_energy_ci_low", "folded_energy_ci_high", _nanojoules),
        number("seeds", "n_seeds", lambda n: str(int(n))),
    ]


def _remark(frame: pd.DataFrame, _metric: Metric) -> str:
    return " ".join(filter(None, [CAVEAT, remark(frame[SELECTED_ON])]))


TABLE = TableDefinition(
    frame=_frame,
    columns=_columns,
    kind=NetworkSweep,
    remark=_remark,
    macros=[
        Macros(
            ("accumulates", "multiply_accumulates", *_ENERGIES),
            lambda _cells, cell, _row: (int(cell),),
        )
    ],
    section=Section(
        "energy",
        "Energy",
        "What a trained network costs an image, in the epoch of its best accuracy: accumulates "
        "(AC) where a\nlayer's inputs are spikes, multiply-accumulates (MAC) where they are not, "
        "in millions.",
        link="Energy",
    ),
)
