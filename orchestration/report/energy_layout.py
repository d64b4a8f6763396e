"""The table of what networks cost an image. Pure."""

from __future__ import annotations

import pandas as pd

from orchestration.report.table import (
    NO_NUMBER,
    Table,
    TableCell,
    as_text,
    is_numeric,
    percent,
)
from orchestration.results.columns import SELECTED_ON, remark

__all__ = ["CAVEAT", "energy_table", "millions", "nanojoules"]

CAVEAT = (
    "An estimate for 45 nm: 4.6 pJ a multiply-accumulate, 0.9 pJ an accumulate; without memory, "
    "data movement and the neurons' own updates."
)


def millions(operations: float) -> str:
    """Operations in millions."""
    return f"{operations / 1e6:.3f}"


def nanojoules(energy: float) -> str:
    """Energy in nanojoules, for a table."""
    return f"{energy:.1f}"


def energy_table(frame: pd.DataFrame) -> Table:
    """Lay out ``Results.energy``: operations in millions an image, energy in nanojoules."""
    axes = [str(name) for name in frame.columns[: frame.columns.get_loc("accuracy")]]
    headings = [*axes, "mean %", "AC M", "MAC M", "nJ an image", "95 % CI", "seeds"]
    rows = []
    for row in frame.to_dict("records"):
        known = not pd.isna(row["energy_ci_low"])
        ends = (nanojoules(row[end]) for end in ("energy_ci_low", "energy_ci_high"))
        interval = " to ".join(ends) if known else NO_NUMBER
        texts = [
            *(as_text(row[axis]) for axis in axes),
            percent(row["accuracy"]),
            millions(row["accumulates"]),
            millions(row["multiply_accumulates"]),
            nanojoules(row["energy_nj"]),
            interval,
            str(int(row["n_seeds"])),
        ]
        rows.append([TableCell(text) for text in texts])
    numeric = [*(is_numeric(frame[axis]) for axis in axes), *[True] * 6]
    told = " ".join(filter(None, [CAVEAT, remark(frame[SELECTED_ON])]))
    return Table(headings, rows, numeric, remark=told)
