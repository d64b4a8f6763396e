"""Where the commands print, and what several of them do."""

from __future__ import annotations

import shutil
import sys

import click

from orchestration.progress.console import TextConsole


class _Console(TextConsole):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # which ends the command, where Rich would end the process


# Rich takes a pipe for 80 columns wide, and would break the lines of a table there.
out = _Console(soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = TextConsole(stderr=True, soft_wrap=True)


def terminal_width() -> int:
    """Columns that a table may take: the terminal's, as far as lines are easily read."""
    return min(200, shutil.get_terminal_size().columns)


def size_in_words(size: int) -> str:
    """So many bytes, with the unit in which they are easily read."""
    for unit, bytes_of_it in (("GB", 10**9), ("MB", 10**6)):
        if size >= bytes_of_it:
            return f"{size / bytes_of_it:.1f} {unit}"
    return f"{size / 1000:.0f} kB"


def print_results(name: str) -> None:
    """Print the tables of a sweep that have a place in a terminal."""
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
