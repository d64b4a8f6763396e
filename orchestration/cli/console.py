"""The consoles on which commands print, and functions that several commands share."""

from __future__ import annotations

import os
import shutil
import sys

import click

from orchestration.progress.console import TextConsole


class _Console(TextConsole):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # ends the command; Rich would end the process


# Rich assumes that a pipe is 80 columns wide, and would break a table's lines there.
out = _Console(soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = TextConsole(stderr=True, soft_wrap=True)


def terminal_width() -> int | None:
    """The most columns of a table; None if the output is not shown in a terminal.

    It is the terminal's width, or less where longer lines would be hard to read.
    """
    if "COLUMNS" not in os.environ and not sys.stdout.isatty():
        return None
    return min(200, shutil.get_terminal_size().columns)


def size_in_words(size: int) -> str:
    """A number of bytes in a suitable unit."""
    for unit, unit_bytes in (("GB", 10**9), ("MB", 10**6)):
        if size >= unit_bytes:
            return f"{size / unit_bytes:.1f} {unit}"
    return f"{size / 1000:.0f} kB"


def print_results(name: str) -> None:
    """Print the tables of a sweep that are shown in a terminal."""
    from orchestration.render.terminal import plain
    from orchestration.results.frames import METRIC_OF
    from orchestration.results.results import Results
    from orchestration.tables.registry import terminal_tables
    from orchestration.tables.report_data import ReportData

    results = Results(name)
    data = ReportData(results.name, results.snapshot([*METRIC_OF.values(), "epoch_seconds"]))
    for title, table in terminal_tables(data):
        click.echo(title)
        click.echo(plain(table, terminal_width()))
