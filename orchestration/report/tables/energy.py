"""The table of what networks cost an image. Pure."""

from __future__ import annotations

import pandas as pd

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.report.tables.columns import (
    Column,
    Row,
    axes_of,
    columns_before,
    lay_out,
    number,
)
from orchestration.report.tables.table import NO_NUMBER, Table
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


def energy_table(frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
    """Lay out ``Results.energy``: operations in millions an image, energy in nanojoules."""

    def interval(row: Row) -> str:
        if pd.isna(row["energy_ci_low"]):
            return NO_NUMBER
        return " to ".join(nanojoules(row[f"energy_ci_{end}"]) for end in ("low", "high"))

    columns = [
        *axes_of(frame, columns_before(frame, "accuracy")),
        number("mean %", "accuracy", metric.number),
        number("AC M", "accumulates", millions),
        number("MAC M", "multiply_accumulates", millions),
        number("nJ an image", "energy_nj", nanojoules),
        Column("95 % CI", interval),
        number("seeds", "n_seeds", lambda n: str(int(n))),
    ]
    told = " ".join(filter(None, [CAVEAT, remark(frame[SELECTED_ON])]))
    return lay_out(frame, columns, remark=told)
