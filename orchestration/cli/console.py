"""Where the commands print, and what several of them do."""

from __future__ import annotations

import shutil
import sys

import click

from orchestration.progress.console import TextConsole


class _Console(TextConsole):
    def on_broken_pipe(self) -> None:
        raise BrokenPipeError  # which ends the command, where Rich would end the process


__all__ = ["err", "out", "print_results", "size_in_words", "terminal_width"]

# Rich takes a pipe for 80 columns wide, and would break the lines of a table there.
out = _Console(soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = TextConsole(stderr=True, soft_wrap=True)


def terminal_width() -> int:
    """Columns that a table may take: the terminal's, at most 80."""
    return min(80, shutil.get_terminal_size().columns)


def size_in_words(size: int) -> str:
    """So many bytes, with the unit in which they are easily read."""
    for unit, bytes_of_it in (("GB", 10**9), ("MB", 10**6)):
        if size >= bytes_of_it:
            return f"{size / bytes_of_it:.1f} {unit}"
    return f"{size / 1000:.0f} kB"


def print_results(name: str) -> None:
    """Print a sweep's best of seeds, its headline, and what each norm adds if there are more."""
    from orchestration.report.tables.formats import plain, render
    from orchestration.report.tables.headline import headline
    from orchestration.report.tables.layouts import has_more_norms
    from orchestration.results.results import Results
    from orchestration.results.snapshot import METRIC_OF

    snapshot = Results(name).snapshot([*METRIC_OF.values(), "epoch_seconds"])
    width = terminal_width()
    best = snapshot.best_of_seeds()
    metric = snapshot.metric
    declared = "Declared comparisons: what the first cell is, by pairs of seeds"
    click.echo(f"{metric.title}, best of seeds" + (" (%)" if metric.is_fraction else ""))
    click.echo(render(best, "table", width, metric))
    if snapshot.cells.train is not None:
        if snapshot.has_decisions:
            click.echo(declared)
            click.echo(render(snapshot.decisions(), "table", width, metric))
        if snapshot.cells.baseline:
            click.echo("Differences from the baseline, paired by seed")
            click.echo(render(snapshot.differences(), "table", width, metric))
        return
    if snapshot.has_decisions:
        click.echo(declared)
        click.echo(render(snapshot.decisions(), "table", width))
    if (table := headline(best)).rows:
        click.echo("The headline, and the dependency gap: standard norm minus none")
        click.echo(plain(table, width))
    gaps = snapshot.dependency_gap(by_norm=True)
    if has_more_norms(gaps):
        click.echo("What each norm adds: norm minus none")
        click.echo(render(gaps, "table", width))
    if snapshot.has_settings:
        if len(tuned := snapshot.dependency_gap(tuned=True)):
            click.echo("The gap as built, and tuned against tuned: mean over seeds")
            click.echo(render(tuned, "table", width))
        if (basins := snapshot.comparable_basins()) is not None:
            click.echo("The basin: the share of settings within 2 points of the best one")
            click.echo(render(basins, "table", width))
