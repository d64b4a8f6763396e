"""Writes a frame as it is, in JSON and CSV: fractions and every digit. Pure.

Where there is no number there is null in JSON, and nothing in CSV.
"""

from __future__ import annotations

import json
from typing import Any

import pandas as pd

from orchestration.results.columns import plain


def to_json(frame: pd.DataFrame) -> str:
    """Write a frame as a list of records."""

    def value(cell: Any) -> Any:
        return cell.isoformat() if isinstance(cell, pd.Timestamp) else plain(cell)

    rows = [{str(k): value(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def to_csv(frame: pd.DataFrame) -> str:
    """Write a frame as rows of values."""
    return frame.to_csv(index=False, lineterminator="\n").removesuffix("\n")
