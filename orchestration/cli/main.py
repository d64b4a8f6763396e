"""The command ``snn-sweep``: a thin shell over the driver, the tracking server and the answers."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click
from mlflow.exceptions import MlflowException
from rich.table import Table

from orchestration.cli.console import err, out, print_results, terminal_width
from orchestration.cli.sweeps import COMMANDS
from orchestration.errors import FAILED, INTERRUPTED, UNREACHABLE, WRONG_INPUT, SweepError
from orchestration.progress.display import make_watch
from orchestration.progress.event_log import FileLog, both
from orchestration.progress.state import duration
from orchestration.record.names import TRAINING_PAGES
from orchestration.report.formats import FORMATS, render
from orchestration.results.results import Results
from orchestration.sweep.plan import Plan, estimate_seconds
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings, SettingsError
from services.tracking import ServiceError, start_server, stop_server

__all__ = ["cli"]


class _Commands(click.Group):
    """Turns errors into one message on standard error and the exit code that belongs to them."""

    def invoke(self, ctx: click.Context) -> Any:
        # The user's own modules lie in the folder that the command is started from.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string, as Python itself puts there
        try:
            return super().invoke(ctx)
        except (SweepError, SettingsError, ServiceError, MlflowException) as error:
            if ctx.params["debug"]:
                raise
            err.print(f"snn-sweep: {error}", markup=False, highlight=False, style="red")
            ctx.exit(_exit_code(error))
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                raise
            err.print("snn-sweep: interrupted")
            ctx.exit(INTERRUPTED)


def _exit_code(error: Exception) -> int:
    if isinstance(error, SweepError):
        return error.exit_code
    return WRONG_INPUT if isinstance(error, SettingsError) else UNREACHABLE


@click.group(cls=_Commands)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="snn-norm")
def cli(debug: bool) -> None:
    """Sweeps over architecture, norm and seed, recorded in MLflow.

    SPEC is a YAML file, or the name of a packaged spec.
    """


for _command in COMMANDS:
    cli.add_command(_command)

_spec = click.argument("spec", metavar="SPEC")
_name = click.argument("name", metavar="NAME")
_fresh = click.option(
    "--fresh",
    is_flag=True,
    help="Run every trial anew; runs that there are stay in MLflow, but count no longer.",
)


@cli.command()
@_spec
@_fresh
@click.option("--json", "as_json", is_flag=True, help="Print the plan as JSON and nothing else.")
def plan(spec: str, fresh: bool, as_json: bool) -> None:
    """Check SPEC and say what would run; start nothing."""
    from orchestration.execution.driver import plan_sweep

    sweep = SweepSpec.load(spec)
    planned = plan_sweep(sweep, fresh=fresh)
    if as_json:
        click.echo(json.dumps({"name": sweep.name, **planned.to_dict()}, indent=2))
    else:
        _print_plan(sweep, planned)


def _print_plan(spec: SweepSpec, planned: Plan) -> None:
    table = Table("trial", "key", "what happens", box=None, pad_edge=False)
    for trial in planned.run:
        table.add_row(trial.label, trial.key, "runs")
    for one in planned.resume:
        what = f"goes on after epoch {one.run.epochs_done} of {one.trial.config.epochs}"
        table.add_row(one.trial.label, one.trial.key, what)
    for one in planned.reuse:
        table.add_row(one.trial.label, one.trial.key, f"finished before: {one.run.outcome}")
    for one in planned.copy:
        what = f"finished in another sweep: {one.run.outcome}"
        table.add_row(one.trial.label, one.trial.key, what)
    out.print(table)
    for warning in planned.warnings:
        err.print(f"warning: {warning}", markup=False)
    slots = max(1, int((os.cpu_count() or 1) // spec.resources.cpu))
    seconds = estimate_seconds(planned, slots)
    out.print(
        f"{spec.name}: {len(planned.run)} to run, {len(planned.resume)} to resume, "
        f"{len(planned.reuse) + len(planned.copy)} finished before"
        + (f"; about {duration(seconds)} with {slots} at a time here" if seconds else "")
    )


@cli.command()
@_spec
@_fresh
def run(spec: str, fresh: bool) -> None:
    """Run SPEC here and print its table; what has finished before is not run again."""
    from orchestration.cluster.follow import log_path
    from orchestration.execution.driver import run_sweep

    # A shell's `&` has it ignored, and `snn-sweep stop` sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    log = FileLog(log_path(settings, sweep.name))
    with make_watch(err) as watch:
        outcome = run_sweep(sweep, fresh=fresh, settings=settings, watch=both(watch, log))
    print_results(Results(sweep.name))
    for label, reason in outcome.failures.items():
        err.print(f"failed: {label}: {reason}", markup=False, style="red")
    if outcome.interrupted:
        err.print(f"stopped; go on with: snn-sweep run {spec}", markup=False)
        raise SystemExit(INTERRUPTED)
    if settings.tracking_uri is None:
        err.print("browse every run: snn-sweep ui", highlight=False)
    else:
        err.print(f"browse every run: {outcome.tracking_uri}", highlight=False)
    if outcome.failures:
        err.print("their tracebacks are in their runs, tag snn_sweep.reason")
        raise SystemExit(FAILED)


@cli.command()
@_name
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def results(name: str, form: str) -> None:
    """Print the best of seeds of sweep NAME, a row a cell."""
    if form == "table":
        print_results(Results(name))
    else:
        click.echo(render(Results(name).best_of_seeds(), form))


@cli.command()
@_name
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where to write it; default: NAME-report.",
)
def report(name: str, output: Path | None) -> None:
    """Write the report of sweep NAME: tables, figures, and one page with all of it."""
    from orchestration.report.write import write_report

    page = write_report(name, output or Path(f"{name.replace('/', '_')}-report"))
    out.print(f"report in {page.parent}; open {page}", highlight=False, markup=False)


@cli.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def compare(first: str, second: str, form: str) -> None:
    """Set sweeps A and B side by side, cell by cell.

    Either may be headline-published: the headline as it was published.
    """
    from orchestration.results.comparison import compare_sweeps

    table = render(compare_sweeps(first, second), form, terminal_width())
    if form == "table":
        click.echo(f"Test accuracy, best of seeds and mean: A is {first}, B is {second}")
    click.echo(table)


@cli.command()
@click.option("--database", metavar="URL", help="MLflow's database; default: SQLite in the home.")
def up(database: str | None) -> None:
    """Start the tracking server on this machine, and keep it."""
    uri = start_server(Settings.from_environment(), database)
    out.print(f"tracking server at {uri}", highlight=False)


@cli.command()
def down() -> None:
    """Stop the tracking server on this machine."""
    stopped = stop_server(Settings.from_environment())
    out.print("tracking server stopped" if stopped else "no tracking server was running")


@cli.command()
def ui() -> None:
    """Open MLflow's pages in a browser, starting the tracking server if need be."""
    settings = Settings.from_environment()
    uri = settings.tracking_uri or start_server(settings)
    uri += f"/#/experiments?{TRAINING_PAGES}"
    out.print(f"MLflow at {uri}", highlight=False)
    if sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        click.launch(uri)
