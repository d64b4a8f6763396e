"""Where the commands print, and what several of them do."""

from __future__ import annotations

import sys

import click
from rich.console import Console

__all__ = ["err", "out", "print_results"]

# Rich takes a pipe for 80 columns wide, and would break the lines of a table there.
out = Console(soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
err = Console(stderr=True, soft_wrap=True)


def print_results(name: str) -> None:
    """Print a sweep's best of seeds and its headline."""
    from orchestration.report.formats import plain, render
    from orchestration.report.headline import headline
    from orchestration.results.results import Results

    answers = Results(name)
    best = answers.best_of_seeds()
    click.echo("Test accuracy, best of seeds (%)")
    click.echo(render(best, "table"))
    click.echo("The headline, and the dependency gap: standard norm minus none")
    click.echo(plain(headline(best, answers.dependency_gap())))
