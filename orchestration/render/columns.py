"""Lays out a frame as a table, by columns that each write a row as text. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Container, Hashable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.render.table import NO_NUMBER, Table, TableCell, as_text, decimal, is_numeric
from orchestration.render.visible import visible
from orchestration.results.columns import letter

Row = Mapping[Hashable, Any]
Format = Callable[[Any], str]


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        text: gives the text for a row of the frame.
        numeric: whether it holds numbers, to be aligned at their decimal point.
        marked: whether its cells have the letter of the row's note.
        strong: whether its cells are emphasized in the rows that win.
        formats: the format of each of the frame's columns that it shows.
    """

    heading: str
    text: Callable[[Row], str]
    numeric: bool = True
    marked: bool = False
    strong: bool = False
    formats: Mapping[str, Format] = field(default_factory=dict)


def number(
    heading: str, name: str, text: Format = str, *, marked: bool = False, strong: bool = False
) -> Column:
    """A column of numbers: the frame's column of this name, each number written by ``text``."""
    return Column(heading, lambda row: text(row[name]), True, marked, strong, {name: text})


def words(heading: str, name: str | None = None, *, marked: bool = False) -> Column:
    """A column of words: the frame's column of this name, which is the heading by default."""
    source = heading if name is None else name
    return Column(heading, lambda row: as_text(row[source]), numeric=False, marked=marked)


def interval(
    heading: str, low: str, high: str, end: Format = decimal, between: str = " to "
) -> Column:
    """A column of intervals, from the frame's columns with their ends; "–" if these are missing."""

    def text(row: Row) -> str:
        return between.join(end(row[name]) for name in (low, high))

    return Column(
        heading,
        lambda row: text(row) if math.isfinite(row[low]) else NO_NUMBER,
        formats={low: end, high: end},
    )


def metric_interval(heading: str, low: str, high: str, metric: Metric) -> Column:
    """A column of intervals of a metric's values.

    Accuracies are cut at 0 and 100 %, where they end; the frame keeps them as computed.
    """
    if not metric.is_fraction:
        return interval(heading, low, high, metric.number)
    return interval(heading, low, high, lambda end: metric.number(min(max(end, 0.0), 1.0)), "–")


def axes_of(frame: pd.DataFrame, names: Iterable[str]) -> list[Column]:
    """Columns of axes, written as they are."""
    return [replace(words(name), numeric=is_numeric(frame[name])) for name in names]


def axes_before(frame: pd.DataFrame, first: str) -> list[Column]:
    """Columns of the axes that distinguish the frame's rows, which are those before this column."""
    return axes_of(frame, columns_before(frame, first))


def columns_before(frame: pd.DataFrame, first: str) -> list[str]:
    """The names of the frame's columns before this one, which distinguish its rows."""
    return [str(name) for name in frame.columns[: frame.columns.get_loc(first)]]


def any_columns(frame: pd.DataFrame, metric: Metric) -> list[Column]:
    """All columns of a frame without a definition of its own, accuracies in percent."""

    def column(name: str) -> Column:
        percents = metric.is_fraction and name.endswith("accuracy")
        text = metric.number if percents else as_text
        heading = f"{name} %" if percents else name
        return Column(heading, lambda row: text(row[name]), is_numeric(frame[name]))

    return [column(str(name)) for name in frame]


def lay_out(
    frame: pd.DataFrame,
    columns: Iterable[Column],
    *,
    note: Callable[[Row], str] | None = None,
    winners: Container[int] = (),
    remark: str = "",
) -> Table:
    """Lay out a table with one row for each row of the frame.

    Args:
        note: gives the note of a row, which stands below the table; its letter is in the marked
            columns.
        winners: the numbers of the rows to emphasize.
    """
    columns = list(columns)
    records = frame.to_dict("records")
    notes_of_rows = [visible(note(row)) if note else "" for row in records]
    notes = tuple(dict.fromkeys(filter(None, notes_of_rows)))
    marks = [letter(notes.index(text)) if text else "" for text in notes_of_rows]
    rows = [
        [
            TableCell(
                visible(column.text(row)),
                mark=mark if column.marked else "",
                strong=column.strong and place in winners,
            )
            for column in columns
        ]
        for place, (row, mark) in enumerate(zip(records, marks, strict=True))
    ]
    headings = [visible(column.heading) for column in columns]
    return Table(headings, rows, [column.numeric for column in columns], notes, remark)
