"""What a table is made of. A file of this folder defines one; no other file names it.

The registry lists them. Reports, terminals, papers and pages ask the registry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.render.columns import Column, Row, any_columns, lay_out
from orchestration.render.forms import FORMATS
from orchestration.render.latex import latex
from orchestration.render.markdown import markdown
from orchestration.render.records import to_csv, to_json
from orchestration.render.table import Table
from orchestration.render.terminal import COLUMNS, plain
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.results.columns import plain as plain_value
from orchestration.tables.report_data import ReportData


class CellFinder:
    """Finds cells, rows of best of seeds, by the values of some axes."""

    def __init__(self, best: pd.DataFrame, axes: Sequence[str]) -> None:
        self.axes = list(axes)
        self._rows = [
            {axis: plain_value(row[axis]) for axis in axes} for row in best.to_dict("records")
        ]

    def values(self, axis: str) -> list[Any]:
        """Those that an axis has."""
        return list(dict.fromkeys(row[axis] for row in self._rows))

    def find(self, row: Row, but: str = "", values: Iterable[Any] | None = None) -> tuple[int, ...]:
        """The cells that agree with a row in all axes that it has.

        Args:
            row: of a table.
            but: an axis in which they need not agree.
            values: those that they may have in it instead.
        """
        keys = [axis for axis in self.axes if axis in row and axis != but]
        wanted = {axis: plain_value(row[axis]) for axis in keys}
        allowed = None if values is None else list(map(plain_value, values))
        return tuple(
            number
            for number, cell in enumerate(self._rows)
            if all(cell[axis] == value for axis, value in wanted.items())
            and (allowed is None or cell[but] in allowed)
        )


@dataclass(frozen=True)
class Macros:
    """The numbers of a table that a text may quote, each a macro.

    Args:
        columns: of the frame, each written as the table's columns write it.
        cells: the cells whose runs a number comes from, by the row's index and the row.
        frame: whose numbers they are, if not the table's.
        prefix: of the columns' names.
        against: what tells a row apart besides its axes, in words.
    """

    columns: Sequence[str] | Callable[[Metric], Sequence[str]]
    cells: Callable[[CellFinder, Any, Row], tuple[int, ...]]
    frame: Callable[[ReportData], pd.DataFrame] | None = None
    prefix: str = ""
    against: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Section:
    """The table's place on a report's page.

    Args:
        anchor: its name in the page's address.
        heading: above it.
        text: what is to be known of it.
        link: its name in the page's list of sections; empty: it is not in it.
        under: the table of whose section this is a part.
        kind: the style's name of a table that stands out.
        sentence: one that the numbers give, below the table.
    """

    anchor: str
    heading: str
    text: str | Callable[[Metric], str]
    link: str = ""
    under: str = ""
    kind: str = ""
    sentence: Callable[[ReportData], str] | None = None


@dataclass(frozen=True)
class Terminal:
    """The table's place below ``snn-sweep run`` and ``results``.

    Args:
        title: the line above it.
        is_first: whether it comes before those that are not, and is shown without rows too.
        columns: fewer of them, for a terminal's 80.
    """

    title: str | Callable[[Metric], str]
    is_first: bool = False
    columns: Callable[[pd.DataFrame, Metric], list[Column]] | None = None
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None


def _selected(frame: pd.DataFrame, metric: Metric) -> str:
    return remark(frame[SELECTED_ON], metric) if SELECTED_ON in frame else ""


@dataclass(frozen=True)
class TableDefinition:
    """A table.

    Args:
        frame: its numbers, a row each of the table's; None where a sweep has none.
        columns: of the frame, from left to right.
        is_ours: True of sweeps of this package's networks alone, False of those of training code
            of the user's own alone.
        remark: a sentence below it; default: which images selected the epochs.
        note: what is to be said of a row.
        winners: the rows that stand out.
        rows: makes of the frame's rows those of the table, where they are not the same.
        build: makes the table of the frame, where columns are not enough.
        is_worth_showing: whether to show it in a terminal and on a report's page.
        links: addresses by the column's heading, one for each row.
        files: the forms in which a report has it as a file; a paper has those in LaTeX.
        exported: the frame that the report's CSV file has, if another.
        macros: its numbers for a paper.
        section: its place on a report's page, if any.
        terminal: its place in a terminal, if any.
    """

    frame: Callable[[ReportData], pd.DataFrame | None] = lambda _data: None
    columns: Callable[[pd.DataFrame, Metric], list[Column]] = any_columns
    is_ours: bool | None = None
    remark: Callable[[pd.DataFrame, Metric], str] = _selected
    note: Callable[[Row], str] | None = None
    winners: Callable[[pd.DataFrame, Metric], set[int]] = lambda _frame, _metric: set()
    rows: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    build: Callable[[pd.DataFrame, Metric], Table] | None = None
    is_worth_showing: Callable[[pd.DataFrame], bool] = lambda _frame: True
    links: Callable[[ReportData, pd.DataFrame], Mapping[str, Sequence[str]]] | None = None
    files: Sequence[str] = ("tex", "md", "html", "csv")
    exported: Callable[[ReportData], pd.DataFrame | None] | None = None
    macros: Sequence[Macros] = ()
    section: Section | None = None
    terminal: Terminal | None = None

    def of(self, data: ReportData) -> pd.DataFrame | None:
        """The numbers of a sweep; None where it has none."""
        return data.once(self.frame) if self.is_ours in (None, data.is_ours) else None

    def table(self, frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
        """Lay out a frame."""
        if self.build:
            return self.build(frame, metric)
        return self._lay_out(frame, metric, self.columns)

    def narrow_table(self, frame: pd.DataFrame, metric: Metric = TEST_ACCURACY) -> Table:
        """Lay out a frame for a terminal."""
        if self.terminal is None or self.terminal.columns is None:
            return self.table(frame, metric)
        return self._lay_out(frame, metric, self.terminal.columns)

    def _lay_out(
        self,
        frame: pd.DataFrame,
        metric: Metric,
        columns: Callable[[pd.DataFrame, Metric], list[Column]],
    ) -> Table:
        return lay_out(
            self.rows(frame) if self.rows else frame,
            columns(frame, metric),
            note=self.note,
            winners=self.winners(frame, metric),
            remark=self.remark(frame, metric),
        )

    def write(
        self,
        frame: pd.DataFrame,
        form: str,
        width: int = COLUMNS,
        metric: Metric = TEST_ACCURACY,
    ) -> str:
        """Write a frame in one of FORMATS, without a final newline.

        Args:
            frame: of this table.
            form: table, json, csv, latex or markdown.
            width: of the terminal that a table is for.
            metric: what its numbers are of.

        Raises:
            InputError: the form is another.
        """
        match form:
            case "table":
                return plain(self.narrow_table(frame, metric), width)
            case "json":
                return to_json(frame)
            case "csv":
                return to_csv(frame)
            case "latex":
                return latex(self.table(frame, metric))
            case "markdown":
                return markdown(self.table(frame, metric))
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
