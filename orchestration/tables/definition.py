"""The definition of a table.

A file of this folder defines a table, and the registry lists it. Reports, terminals, papers and
pages show what the registry has.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.sweep_kind import SweepKind
from orchestration.render.columns import Column, Row, any_columns, lay_out
from orchestration.render.forms import FORMATS
from orchestration.render.latex import latex
from orchestration.render.markdown import markdown
from orchestration.render.records import to_csv, to_json
from orchestration.render.table import Table
from orchestration.render.terminal import plain
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
        """The values of an axis."""
        return list(dict.fromkeys(row[axis] for row in self._rows))

    def find(self, row: Row, but: str = "", values: Iterable[Any] | None = None) -> tuple[int, ...]:
        """The numbers of the cells that agree with a row in all axes that it has.

        Args:
            but: an axis in which they need not agree.
            values: the values that they may have in that axis.
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
    """The numbers of a table that a text may quote. Each becomes a macro.

    Args:
        columns: the names of the frame's columns. Their numbers are formatted as in the table.
        cells: gives the cells whose runs a number comes from, for the row's index and the row.
        frame: gives the frame that has the numbers, if it is not the table's.
        prefix: what the names of the columns begin with in macros.
        against: gives in words what identifies a row besides its axes.
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
        anchor: the fragment of the page's address that leads to it.
        text: explains the table, above it.
        link: the text that leads to it from the page's list of sections; empty: none does.
        under: the name of the table whose section this one is a part of.
        kind: the CSS class of a table that has a style of its own.
        sentence: gives a sentence below the table.
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
        is_first: whether it comes before the others, and is shown even if it has no rows.
        columns: gives columns that need less room than those of the report.
        rows: selects the rows to show.
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
        frame: gives the numbers; None if a sweep has none for this table.
        columns: gives the columns, from left to right.
        kind: the kind of sweep that has the table.
        remark: gives a sentence below the table; default: which images selected the epochs.
        note: gives the note of a row; empty: the row has none.
        winners: gives the numbers of the rows to emphasize.
        rows: turns the frame's rows into those of the table, if they differ.
        build: makes the table from the frame, if columns are not enough.
        is_worth_showing: whether a terminal and a report's page show it.
        links: gives addresses by the heading of a column, one for each row.
        files: the formats in which a report writes it as a file; a paper takes the LaTeX.
        exported: gives the frame for the report's CSV file, if it is another one.
        macros: its numbers for a paper.
        section: its place on a report's page, if it has one.
        terminal: its place in a terminal, if it has one.
    """

    frame: Callable[[ReportData], pd.DataFrame | None] = lambda _data: None
    columns: Callable[[pd.DataFrame, Metric], list[Column]] = any_columns
    kind: type[SweepKind] = SweepKind
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

    @property
    def heading(self) -> str:
        """The heading of its section on a report's page; empty if it has none."""
        return self.section.heading if self.section else ""

    def is_of(self, kind: SweepKind) -> bool:
        """Whether sweeps of this kind can have the table."""
        return isinstance(kind, self.kind)

    def of(self, data: ReportData) -> pd.DataFrame | None:
        """The numbers of a sweep; None if it has none for this table."""
        return data.once(self.frame) if self.is_of(data.kind) else None

    def table(
        self, frame: pd.DataFrame, metric: Metric = TEST_ACCURACY, *, narrow: bool = False
    ) -> Table:
        """Lay out a frame; a narrow table is for a terminal."""
        if self.build:
            return self.build(frame, metric)
        columns = (self.terminal.columns if narrow and self.terminal else None) or self.columns
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
        terminal: int | None = None,
        metric: Metric = TEST_ACCURACY,
    ) -> str:
        """Write a frame in one of FORMATS, without a final newline.

        Args:
            terminal: the columns of the terminal that a table is for; None for a file.
        """
        match form:
            case "table":
                return plain(self.table(frame, metric, narrow=True), terminal)
            case "json":
                return to_json(frame)
            case "csv":
                return to_csv(frame)
            case "latex":
                return latex(self.table(frame, metric))
            case "markdown":
                return markdown(self.table(frame, metric))
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
