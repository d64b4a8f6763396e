"""The commands that show the results of sweeps: results, report, compare."""

from __future__ import annotations

from pathlib import Path

import click

from orchestration.cli import arguments
from orchestration.cli.arguments import complete_name
from orchestration.cli.console import out, print_results, terminal_width
from orchestration.errors import InputError
from orchestration.render.forms import FORMATS


@click.command()
@arguments.name
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def results(name: str, form: str) -> None:
    """Print the best of seeds of sweep NAME, one row per cell.

    NAME may also be a file that `snn-sweep export` wrote, such as digits.jsonl.gz.
    """
    if form == "table":
        print_results(name)
    else:
        from orchestration.record.names import BEST_TEST_ACCURACY
        from orchestration.results.results import Results
        from orchestration.tables import best_of_seeds

        snapshot = Results(name).snapshot([BEST_TEST_ACCURACY])
        best = snapshot.best_of_seeds()
        click.echo(best_of_seeds.TABLE.write(best, form, metric=snapshot.metric))


@click.command()
@arguments.name
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; default: NAME-report.",
)
def report(name: str, output: Path | None) -> None:
    """Write the report of sweep NAME: tables, figures and one page with everything.

    NAME may also be a file that `snn-sweep export` wrote, such as digits.jsonl.gz.
    """
    from orchestration.report.write import write_report

    page = write_report(name, output or Path(f"{name.replace('/', '_')}-report"))
    out.print(f"report in {page.parent}; open {page}")


@click.command()
@click.argument("first", metavar="A", shell_complete=complete_name)
@click.argument("second", metavar="[B]", required=False, shell_complete=complete_name)
@click.option(
    "--at",
    "at",
    nargs=2,
    metavar="VERSION VERSION",
    help="Compare the trials of sweep A by two versions or commits of the code, seed by seed.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def compare(first: str, second: str | None, at: tuple[str, str] | None, form: str) -> None:
    """Compare sweeps A and B cell by cell, or two versions of the code by sweep A.

    Either may be a file that `snn-sweep export` wrote, or headline-published, which stands for the
    published headline.
    """
    if (second is None) == (at is None):
        raise InputError("compare takes two sweeps, or one with --at VERSION VERSION")
    from orchestration.tables import comparison, versions

    if at is not None:
        from orchestration.model.metric import TEST_ACCURACY
        from orchestration.results.results import Results

        frame, metric = Results(first).compare_versions(*at), TEST_ACCURACY
        table = versions.TABLE
        heading = f"Test accuracy of {first}, mean of pairs: A is {at[0]}, B is {at[1]}"
    else:
        from orchestration.results.comparison import comparison as compared

        assert second is not None
        frame, metric = compared(first, second)
        table = comparison.TABLE
        heading = f"{metric.title}, best of seeds and mean: A is {first}, B is {second}"
    if form == "table":
        click.echo(heading)
    click.echo(table.write(frame, form, terminal_width(), metric))


COMMANDS = (results, report, compare)
