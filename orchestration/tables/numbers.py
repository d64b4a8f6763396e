"""The numbers of a sweep's tables, with their texts and the cells they come from. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.render.columns import Format
from orchestration.render.table import as_text
from orchestration.results.columns import plain
from orchestration.tables.definition import CellFinder, Macros
from orchestration.tables.registry import tables_of
from orchestration.tables.report_data import ReportData


@dataclass(frozen=True)
class Number:
    """A number that a text may quote.

    Args:
        where: words that identify its row, such as ``snn``, ``threshold 0.3``.
        value: the number with all digits, accuracies as fractions of 1; or a text.
        text: the number as tables show it.
        cells: the numbers of the cells, rows of best of seeds, whose runs it comes from.
    """

    sweep: str
    where: tuple[str, ...]
    column: str
    value: float | int | str
    text: str
    cells: tuple[int, ...]


def numbers_of(data: ReportData) -> Iterator[Number]:
    """The numbers of a sweep, in the order of its tables, without missing ones."""
    finder = CellFinder(data.best, data.axes)
    every, count = tuple(range(len(data.best))), len(data.trials)
    yield Number(data.name, (), "n_trials", count, str(count), every)
    for _, table, of_table in tables_of(data):
        for macros in table.macros:
            frame = data.once(macros.frame) if macros.frame else of_table
            columns = table.columns(frame, data.metric)
            formats = {name: text for column in columns for name, text in column.formats.items()}
            for index, row in zip(frame.index, frame.to_dict("records"), strict=True):
                cells = macros.cells(finder, index, row)
                yield from _of_row(data, row, macros, formats, cells)


def cell_words(data: ReportData, cell: int) -> str:
    """A cell in the words of the spec, such as ``snn bntt threshold 0.3``."""
    return " ".join(_where(data.best.iloc[cell].to_dict(), data.axes))


def _of_row(
    data: ReportData,
    row: Mapping[Any, Any],
    macros: Macros,
    formats: Mapping[str, Format],
    cells: tuple[int, ...],
) -> Iterator[Number]:
    where = _where(row, [axis for axis in data.axes if axis in row])
    if macros.against:
        where = (*where, macros.against(row))
    columns = macros.columns(data.metric) if callable(macros.columns) else macros.columns
    for column in columns:
        value = plain(row[column])
        if value is None or value == "" or (isinstance(value, float) and not math.isfinite(value)):
            continue
        text = formats.get(column, str)(value)
        yield Number(data.name, where, macros.prefix + column, value, text, cells)


def _where(row: Mapping[Any, Any], axes: Sequence[str]) -> tuple[str, ...]:
    return tuple(
        as_text(row[axis]) if axis in ("architecture", "norm") else f"{axis} {as_text(row[axis])}"
        for axis in axes
        if not pd.isna(row[axis])
    )
