"""Writes a table for a terminal. Pure."""

from __future__ import annotations

import io
from collections.abc import Callable

import rich.table
from rich import box

from orchestration.progress.console import TextConsole
from orchestration.render.table import Table

_COLUMNS = 80
"""The width of a table that is not written to a terminal."""


def plain(table: Table, terminal: int | None = None) -> str:
    """Write a table for a terminal, or for a file.

    Args:
        terminal: the columns of the terminal; if the table does not fit into them, each row
            becomes a block of lines. None means a file, whose lines may be as long as needed.
    """
    width = terminal or _COLUMNS
    console = TextConsole(file=io.StringIO(), width=10_000, color_system=None, force_jupyter=False)
    attempts: list[tuple[int, Callable[[str], str]]]
    attempts = [(1, str)] if width > _COLUMNS else []
    attempts += [(1, _broken_keys), (0, _broken_keys), (0, _broken_words)]
    grids = [_grid(table, gap, headings) for gap, headings in attempts]
    fits = [console.measure(grid).minimum <= width for grid in grids]
    grid = grids[fits.index(True)] if any(fits) else grids[-2]
    needed = console.measure(grid).minimum
    if terminal is not None and needed > terminal:
        lines = _blocks(table)
    else:
        with console.capture() as written:
            console.print(grid, width=max(needed, width))
        lines = [line.rstrip() for line in written.get().splitlines()]
    notes = [f"{mark} {note}" for mark, note in table.lettered_notes]
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


def _broken_keys(heading: str) -> str:
    """A heading with its long keys broken, so that a column is hardly wider than its texts."""
    return heading.replace("_", "_\n").replace("architecture", "archi-\ntecture")


def _broken_words(heading: str) -> str:
    return _broken_keys(heading).replace(" ", "\n")


def _grid(table: Table, gap: int, broken: Callable[[str], str]) -> rich.table.Table:
    """A table of rich whose columns may break between words, ``gap`` spaces apart on both sides."""
    grid = rich.table.Table(
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        collapse_padding=True,
        padding=(0, gap),
    )
    columns = [_texts(table, column) for column in range(len(table.headings))]
    for column, name in enumerate(table.headings):
        heading = broken(name)
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
