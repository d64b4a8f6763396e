"""From a frame to a table: columns that each say how they write a row. Pure."""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from orchestration.report.tables.table import (
    Table,
    TableCell,
    as_text,
    is_numeric,
    letter,
    span,
)

__all__ = [
    "Column",
    "Row",
    "axes_of",
    "columns_before",
    "lay_out",
    "note_of",
    "number",
    "span_of",
    "words",
]

Row = Mapping[Hashable, Any]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        heading: above it.
        text: what it says of a row of the frame.
        numeric: whether it holds numbers, to be aligned at their decimal point.
        marked: whether it carries the letter of the row's note.
        strong: whether it stands out where the row does.
    """

    heading: str
    text: Callable[[Row], str]
    numeric: bool = True
    marked: bool = False
    strong: bool = False


def number(
    heading: str, name: str, text: Callable[[Any], str] = str, *, marked: bool = False
) -> Column:
    """A column of the frame's numbers of this name, each written by ``text``."""
    return Column(heading, lambda row: text(row[name]), marked=marked)


def words(heading: str, name: str | None = None, *, marked: bool = False) -> Column:
    """A column of the frame's words of this name; by default that of its heading."""
    found = heading if name is None else name
    return Column(heading, lambda row: as_text(row[found]), numeric=False, marked=marked)


def span_of(heading: str, low: str, high: str) -> Column:
    """A column of intervals of differences, from the frame's columns of their ends."""
    return Column(heading, lambda row: span(row[low], row[high]))


def axes_of(frame: pd.DataFrame, names: Iterable[str]) -> list[Column]:
    """These columns of the frame as they are."""
    return [replace(words(name), numeric=is_numeric(frame[name])) for name in names]


def note_of(row: Row) -> str:
    """What the frame itself says of a row."""
    return str(row["note"])


def columns_before(frame: pd.DataFrame, first: str) -> list[str]:
    """The names of the frame's columns before this one, which tell its rows apart."""
    return [str(name) for name in frame.columns[: frame.columns.get_loc(first)]]


def lay_out(
    frame: pd.DataFrame,
    columns: Iterable[Column],
    *,
    note: Callable[[Row], str] | None = None,
    winners: Container[int] = (),
    remark: str = "",
) -> Table:
    """A table with a row for each of the frame's.

    Args:
        frame: what ``Results`` or ``compare`` gave.
        columns: from left to right.
        note: what is to be said of a row below the table; its letter stands in the marked columns.
        winners: the numbers of the rows that stand out.
        remark: a sentence below all of it.
    """
    columns = list(columns)
    records = frame.to_dict("records")
    said = [note(row) if note else "" for row in records]
    notes = tuple(dict.fromkeys(filter(None, said)))
    marks = [letter(notes.index(one)) if one else "" for one in said]
    rows = [
        [
            TableCell(
                column.text(row),
                mark=mark if column.marked else "",
                strong=column.strong and place in winners,
            )
            for column in columns
        ]
        for place, (row, mark) in enumerate(zip(records, marks, strict=True))
    ]
    headings = [column.heading for column in columns]
    return Table(headings, rows, [column.numeric for column in columns], notes, remark)
