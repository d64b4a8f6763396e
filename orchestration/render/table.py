"""A table for people, and how values are written in it. Pure.

Accuracies are fractions of 1 in the frames and percent here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.results.columns import letter

NO_NUMBER = "–"


@dataclass(frozen=True)
class TableCell:
    """A cell of a table.

    Args:
        text: a number or words; "–" if there is no number.
        after: text after a number that is not aligned with it, such as its unit.
        mark: the letter of a note below the table.
        strong: whether it is emphasized as the best of its kind.
        href: the address of its link on a page.
    """

    text: str
    after: str = ""
    mark: str = ""
    strong: bool = False
    href: str = ""


@dataclass(frozen=True)
class Table:
    """A table for people.

    Args:
        numeric: for each column, whether it has numbers, which are aligned at their decimal point.
        notes: the notes below the table, each after the letter that marks its cells.
        remark: a sentence below the notes about the whole table.
    """

    headings: list[str]
    rows: list[list[TableCell]]
    numeric: list[bool]
    notes: tuple[str, ...] = ()
    remark: str = ""

    @property
    def lettered_notes(self) -> list[tuple[str, str]]:
        """Each note after its letter."""
        return [(letter(number), note) for number, note in enumerate(self.notes)]


def is_numeric(column: pd.Series) -> bool:
    """Whether a column has numbers, which tables align."""
    return pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)


def unit_of(metric: Metric) -> str:
    """The unit of a metric, to follow its name in a heading; may be empty."""
    return " %" if metric.is_fraction else ""


def decimal(number: float) -> str:
    """A number with two decimals; "–" if it is missing."""
    return NO_NUMBER if math.isnan(number) else f"{number:.2f}"


def hours_in_words(hours: float) -> str:
    """Hours with two digits, or whole hours from ten on: ``0.052``, ``1.5``, ``1,234``."""
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"


def as_text(value: Any) -> str:
    """A value of any type as text; times to the second."""
    if pd.isna(value):
        return NO_NUMBER
    if isinstance(value, pd.Timestamp):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    return f"{value:g}" if isinstance(value, float) else str(value)


def p_value(p: float) -> str:
    """A p-value as tables show it."""
    return "< 0.001" if p < 0.001 else NO_NUMBER if math.isnan(p) else f"{p:.3f}"
