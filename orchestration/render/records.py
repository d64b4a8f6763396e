"""Writes a frame in JSON and CSV: fractions, and numbers with every digit. Pure.

A missing number is null in JSON and empty in CSV. JSON has no infinite numbers: they are null too.
"""

from __future__ import annotations

import json
import math
from typing import Any

import pandas as pd

from orchestration.render.visible import visible
from orchestration.results.columns import plain


def to_json(frame: pd.DataFrame) -> str:
    """Write a frame as a list of records."""

    def value(cell: Any) -> Any:
        if isinstance(cell, float) and math.isinf(cell):
            return None
        return cell.isoformat() if isinstance(cell, pd.Timestamp) else plain(cell)

    rows = [{str(k): value(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def to_csv(frame: pd.DataFrame) -> str:
    """Write a frame as rows of values.

    A text that a spreadsheet would take for a formula begins with an apostrophe, and control
    characters are written out. Numbers are as they are.
    """
    texts = frame.select_dtypes(["object", "string"])
    safe = frame.assign(**{str(name): texts[name].map(_harmless) for name in texts})
    return safe.to_csv(index=False, lineterminator="\n").removesuffix("\n")


def _harmless(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = visible(value)
    return f"'{text}" if text.startswith(tuple("=+-@")) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
