"""Answers in writing: a terminal's table, JSON, CSV, LaTeX, Markdown, HTML. Pure.

JSON and CSV hold the frame as it is: fractions, every digit, null or nothing where there is no
number. The others are for people; ``orchestration.report.tables.table`` decides what stands in
them.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import rich.table
from markupsafe import Markup, escape
from rich import box

from orchestration.errors import InputError
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.progress.console import TextConsole
from orchestration.report.tables.forms import FORMATS, Format
from orchestration.report.tables.layouts import merged, table_of
from orchestration.report.tables.table import Table, TableCell, letter
from orchestration.results.columns import plain as plain_value

__all__ = ["FORMATS", "Format", "escape_latex", "html", "latex", "markdown", "plain", "render"]

_COLUMNS = 80


def render(
    frame: pd.DataFrame, form: str, width: int = _COLUMNS, metric: Metric = TEST_ACCURACY
) -> str:
    """Write a frame that ``Results`` gave in one of FORMATS, without a final newline.

    Args:
        frame: best of seeds, dependency gap, trials or curves.
        form: table, json, csv, latex or markdown.
        width: of the terminal that a table is for.
        metric: what its numbers are of.

    Raises:
        InputError: the form is another.
    """
    if form == "table":
        return plain(
            merged(frame, metric) if "best_seed" in frame else table_of(frame, metric), width
        )
    writers: dict[str, Callable[[pd.DataFrame], str]] = {
        "json": _json,
        "csv": _csv,
        "latex": lambda frame: latex(table_of(frame, metric)),
        "markdown": lambda frame: markdown(table_of(frame, metric)),
    }
    if form not in writers:
        raise InputError(f"format must be one of {', '.join(FORMATS)}, got {form!r}")
    return writers[form](frame)


def _json(frame: pd.DataFrame) -> str:
    def value(one: Any) -> Any:
        return one.isoformat() if isinstance(one, pd.Timestamp) else plain_value(one)

    rows = [{str(k): value(v) for k, v in row.items()} for row in frame.to_dict("records")]
    return json.dumps(rows, indent=2, ensure_ascii=False, allow_nan=False)


def _csv(frame: pd.DataFrame) -> str:
    return frame.to_csv(index=False, lineterminator="\n").removesuffix("\n")


def plain(table: Table, width: int = _COLUMNS) -> str:
    """Write a table for a terminal of so many columns, in more where its words need more.

    In a terminal of fewer than 80 that is too narrow, a row becomes a block of lines.
    """
    console = TextConsole(file=io.StringIO(), width=10_000, color_system=None)
    for gap in (1, 0):
        grid = _grid(table, gap)
        needed = console.measure(grid).minimum
        if needed <= width:
            break
    if needed > width < _COLUMNS:
        lines = _blocks(table)
    else:
        with console.capture() as written:
            console.print(grid, width=max(needed, width))
        lines = [line.rstrip() for line in written.get().splitlines()]
    notes = [f"{mark} {note}" for mark, note in _lettered(table.notes)]
    return "\n".join([*lines, *notes, *filter(None, [table.remark])])


def _blocks(table: Table) -> list[str]:
    """A row's leading words on a line, and a line for each of its other cells."""
    title = list(map(bool, table.numeric)).index(True) if any(table.numeric) else 1
    room = max(map(len, table.headings[title:]), default=0)
    lines = []
    for row in table.rows:
        texts = [f"{cell.text}{cell.after} {cell.mark}".rstrip() for cell in row]
        lines.append(", ".join(text for text in texts[:title] if text))
        rest = zip(table.headings[title:], texts[title:], strict=True)
        lines += [f"  {heading.ljust(room)}  {text}".rstrip() for heading, text in rest]
    return lines


def _grid(table: Table, gap: int) -> rich.table.Table:
    """Columns that may break between words, at most, and stand one more than ``gap`` apart."""
    grid = rich.table.Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, gap),
    )
    columns = [_texts(table, column) for column in range(len(table.headings))]
    for column, name in enumerate(table.headings):
        # Long keys break, so that a column is hardly wider than what stands in it.
        heading = name.replace("_", "_\n").replace("architecture", "archi-\ntecture")
        texts = [heading, *columns[column]]
        split = str.splitlines if table.numeric[column] else str.split
        width = max(len(part) for text in texts for part in split(text))
        if table.numeric[column]:
            heading = "\n".join(line.rjust(width) for line in heading.splitlines())
        grid.add_column(heading, no_wrap=table.numeric[column], min_width=width)
        columns[column] = [
            text.rjust(width) if table.numeric[column] else text for text in columns[column]
        ]
    for row in zip(*columns, strict=True):
        grid.add_row(*row)
    return grid


def _texts(table: Table, column: int) -> list[str]:
    """A column's texts, numbers aligned whatever follows them."""
    cells = [row[column] for row in table.rows]
    after = [f"{cell.after} {cell.mark}".rstrip() for cell in cells]
    widest = max(map(len, after), default=0) if table.numeric[column] else 0
    return [cell.text + text.ljust(widest) for cell, text in zip(cells, after, strict=True)]


def _lettered(notes: Sequence[str]) -> list[tuple[str, str]]:
    return [(letter(number), note) for number, note in enumerate(notes)]


def markdown(table: Table) -> str:
    """Write a table for GitHub and its like; below it, its notes."""

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def cell(one: TableCell) -> str:
        text = (one.text + one.after).replace("\\", "\\\\").replace("|", "\\|")
        text = f"**{text}**" if one.strong else text
        return f"{text}<sup>{one.mark}</sup>" if one.mark else text

    rows = [[cell(one) for one in row] for row in table.rows]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    notes = [f"\n<sup>{mark}</sup> {note}" for mark, note in _lettered(table.notes)]
    if table.remark:
        notes.append(f"\n{table.remark}")
    return "\n".join([*(line(texts) for texts in (table.headings, rule, *rows)), *notes])


def html(table: Table) -> Markup:
    """Write a table as an element of a page."""

    def cell(one: TableCell, column: int) -> Markup:
        text = escape(one.text + one.after)
        if one.strong:
            text = Markup("<strong>{}</strong>").format(text)
        if one.href:
            text = Markup('<a href="{}" target="_blank" rel="noopener">{}</a>').format(
                one.href, text
            )
        if one.mark:
            text += Markup("<sup>{}</sup>").format(one.mark)
        return place("td" if column else 'th scope="row"', text, column)

    def place(element: str, text: Markup | str, column: int) -> Markup:
        name = element.partition(" ")[0]
        kind = Markup(' class="number"') if table.numeric[column] else ""
        return Markup("<{}{}>{}</{}>").format(Markup(element), kind, text, name)

    def row(cells: Sequence[Markup]) -> Markup:
        return Markup("<tr>{}</tr>\n").format(Markup("").join(cells))

    head = row(
        [place('th scope="col"', text, column) for column, text in enumerate(table.headings)]
    )
    body = [row([cell(one, column) for column, one in enumerate(cells)]) for cells in table.rows]
    notes = [
        Markup("<p><sup>{}</sup> {}</p>\n").format(mark, note)
        for mark, note in _lettered(table.notes)
    ]
    if table.remark:
        notes.append(Markup("<p>{}</p>\n").format(table.remark))
    return Markup("<table>\n<thead>\n{}</thead>\n<tbody>\n{}</tbody>\n</table>\n{}").format(
        head, Markup("").join(body), Markup("").join(notes)
    )


_LATEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "–": "--",
        "±": r"$\pm$",
        "×": r"$\times$",
        # The usual text font has other signs in their places.
        "<": "$<$",
        ">": "$>$",
        "|": r"\textbar{}",
        "\N{NO-BREAK SPACE}": "~",
        **{char: "\\" + char for char in "&%$#_{}"},
    }
)


def escape_latex(text: str) -> str:
    """A text as LaTeX shows it."""
    return text.translate(_LATEX_ESCAPES)


def latex(table: Table) -> str:
    """Write a tabular for booktabs and siunitx, which the document loads."""
    escaped = escape_latex

    def after(one: TableCell) -> str:
        mark = rf"\textsuperscript{{{one.mark}}}" if one.mark else ""
        return escaped(one.after) + mark

    def cell(one: TableCell, column: int) -> str:
        text = one.text if _is_number(one.text) else escaped(one.text)
        if not table.numeric[column]:
            text += after(one)
        elif not _is_number(one.text):
            text = f"{{{text}{after(one)}}}"
        elif after(one):
            text += f" {{{after(one)}}}"
        return rf"\bfseries {text}" if one.strong else text

    def kind(column: int) -> str:
        cells = [row[column] for row in table.rows if _is_number(row[column].text)]
        if not table.numeric[column] or not cells:
            return "r" if table.numeric[column] else "l"
        whole = max(len(one.text.partition(".")[0]) for one in cells)
        decimals = max(len(one.text.partition(".")[2]) for one in cells)
        widest = max((after(one) for one in cells), key=len)
        room = f", table-space-text-post={{{widest}}}" if widest else ""
        return f"S[table-format={whole}.{decimals}{room}]"

    def line(texts: Sequence[str]) -> str:
        return "  " + " & ".join(texts) + r" \\"

    columns = range(len(table.headings))
    below = [
        rf"\textsuperscript{{{mark}}} {escaped(note)}" for mark, note in _lettered(table.notes)
    ]
    below += filter(None, [escaped(table.remark)])
    notes = [rf"  \multicolumn{{{len(columns)}}}{{l}}{{\footnotesize {text}}} \\" for text in below]
    return "\n".join(
        [
            r"% needs \usepackage{booktabs,siunitx} and \sisetup{detect-weight=true}",
            rf"\begin{{tabular}}{{@{{}}{''.join(map(kind, columns))}@{{}}}}",
            r"  \toprule",
            line([f"{{{escaped(heading)}}}" for heading in table.headings]),
            r"  \midrule",
            *(line([cell(row[column], column) for column in columns]) for row in table.rows),
            r"  \bottomrule",
            *notes,
            r"\end{tabular}",
        ]
    )


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdigit()
