"""The command ``snn-sweep``: a thin shell over the driver, the tracking server and the answers."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import click
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from rich.console import Console
from rich.table import Table

from orchestration.analysis import Results
from orchestration.client import connect
from orchestration.contract import TRAINING_PAGES
from orchestration.errors import InputError, SweepError
from orchestration.headline import headline
from orchestration.overview import SweepOverview, all_sweeps, one_sweep
from orchestration.plan import Plan, estimate_seconds
from orchestration.progress import duration
from orchestration.spec import SweepSpec, packaged_specs
from orchestration.tables import FORMATS, plain, render
from services.settings import Settings, SettingsError
from services.tracking import (
    ServiceError,
    reading_uri,
    start_server,
    stop_server,
)

__all__ = ["cli"]

_FAILED, _WRONG_INPUT, _UNREACHABLE, _INTERRUPTED = 1, 2, 3, 130

_out = Console(soft_wrap=True)
_err = Console(stderr=True, soft_wrap=True)


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
            _err.print(f"snn-sweep: {error}", markup=False, highlight=False, style="red")
            ctx.exit(_exit_code(error))
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                raise
            _err.print("snn-sweep: interrupted")
            ctx.exit(_INTERRUPTED)


def _exit_code(error: Exception) -> int:
    if isinstance(error, SweepError):
        return error.exit_code
    return _WRONG_INPUT if isinstance(error, SettingsError) else _UNREACHABLE


@click.group(cls=_Commands)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="snn-norm")
def cli(debug: bool) -> None:
    """Sweeps over architecture, norm and seed, recorded in MLflow.

    SPEC is a YAML file, or the name of a packaged spec.
    """


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
    from orchestration.driver import plan_sweep

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
    _out.print(table)
    for warning in planned.warnings:
        _err.print(f"warning: {warning}", markup=False)
    slots = max(1, int((os.cpu_count() or 1) // spec.resources.cpu))
    seconds = estimate_seconds(planned, slots)
    _out.print(
        f"{spec.name}: {len(planned.run)} to run, {len(planned.resume)} to resume, "
        f"{len(planned.reuse) + len(planned.copy)} finished before"
        + (f"; about {duration(seconds)} with {slots} at a time here" if seconds else "")
    )


@cli.command()
@_spec
@_fresh
def run(spec: str, fresh: bool) -> None:
    """Run SPEC here and print its table; what has finished before is not run again."""
    from orchestration.driver import run_sweep

    # A shell's `&` has it ignored, and `snn-sweep stop` sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    outcome = run_sweep(sweep, fresh=fresh, settings=settings)
    _print_results(Results(sweep.name))
    for label, reason in outcome.failures.items():
        _err.print(f"failed: {label}: {reason}", markup=False, style="red")
    if outcome.interrupted:
        _err.print(f"stopped; go on with: snn-sweep run {spec}", markup=False)
        raise SystemExit(_INTERRUPTED)
    if settings.tracking_uri is None:
        _err.print("browse every run: snn-sweep ui", highlight=False)
    else:
        _err.print(f"browse every run: {outcome.tracking_uri}", highlight=False)
    if outcome.failures:
        _err.print("their tracebacks are in their runs, tag snn_sweep.reason")
        raise SystemExit(_FAILED)


@cli.command()
@_name
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def results(name: str, form: str) -> None:
    """Print the best of seeds of sweep NAME, a row a cell."""
    if form == "table":
        _print_results(Results(name))
    else:
        click.echo(render(Results(name).best_of_seeds(), form))


def _print_results(answers: Results) -> None:
    best = answers.best_of_seeds()
    click.echo("Test accuracy, best of seeds (%)")
    click.echo(render(best, "table"))
    click.echo("The headline, and the dependency gap: standard norm minus none")
    click.echo(plain(headline(best, answers.dependency_gap())))


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
    from orchestration.report import write_report

    page = write_report(name, output or Path(f"{name.replace('/', '_')}-report"))
    _out.print(f"report in {page.parent}; open {page}", highlight=False, markup=False)


@cli.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="B")
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def compare(first: str, second: str, form: str) -> None:
    """Set sweeps A and B side by side, cell by cell.

    Either may be headline-published: the headline as it was published.
    """
    from orchestration.compare import compare_sweeps

    table = render(compare_sweeps(first, second), form)
    if form == "table":
        click.echo(f"Test accuracy, best of seeds and mean: A is {first}, B is {second}")
    click.echo(table)


@cli.command("list")
def list_sweeps() -> None:
    """List the sweeps of the tracking server."""
    table = Table("sweep", "status", "finished", "started", box=None, pad_edge=False)
    client = _reading_client()
    for sweep in all_sweeps(client) if client else []:
        started = sweep.started.astimezone().strftime("%Y-%m-%d %H:%M")
        table.add_row(sweep.name, sweep.status, f"{sweep.finished} of {sweep.expected}", started)
    if table.row_count:
        _out.print(table)
    else:
        packaged = ", ".join(packaged_specs())
        _err.print(f"no sweeps yet; begin with: snn-sweep run SPEC (packaged: {packaged})")


@cli.command()
@_name
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON and nothing else.")
def status(name: str, as_json: bool) -> None:
    """Say how far sweep NAME has come, and who drives it."""
    from orchestration.driver import sweep_folder
    from orchestration.lease import holder

    client = _reading_client()
    if client is None:
        raise InputError(f"there is no sweep {name!r}: nothing has been run on this machine yet")
    sweep = one_sweep(client, name)
    driver = holder(sweep_folder(Settings.from_environment(), name))
    if as_json:
        click.echo(json.dumps(_status_json(sweep, str(driver) if driver else None), indent=2))
        return
    _out.print(f"{sweep.name}: {sweep.status}, {sweep.finished} of {sweep.expected} finished")
    for state, count in sorted(sweep.trials.items()):
        _out.print(f"  {count} {state}")
    if driver:
        _out.print(f"driven by {driver}", markup=False)
    elif sweep.status == "running":
        _out.print("nobody drives it from this machine; running its spec again goes on with it")


def _status_json(sweep: SweepOverview, driver: str | None) -> dict[str, Any]:
    return {
        "name": sweep.name,
        "status": sweep.status,
        "started": sweep.started.isoformat(),
        "finished": sweep.finished,
        "expected": sweep.expected,
        "trials": sweep.trials,
        "driver": driver,
    }


def _reading_client() -> MlflowClient | None:
    uri = reading_uri(Settings.from_environment())
    return connect(uri) if uri else None


@cli.command()
@_name
def stop(name: str) -> None:
    """Stop sweep NAME as Ctrl-C would: at its last checkpoints, to be gone on with later."""
    from orchestration.driver import sweep_folder
    from orchestration.lease import holder

    folder = sweep_folder(Settings.from_environment(), name)
    driver = holder(folder)
    if driver is None:
        raise InputError(f"nobody runs sweep {name!r} from this machine's checkpoint store")
    if not driver.is_here:
        raise InputError(f"sweep {name!r} is run by {driver}: stop it there")
    os.kill(driver.pid, signal.SIGINT)
    with _err.status(f"waiting for {driver} to close its books"):
        while holder(folder) == driver:
            time.sleep(0.2)
    _out.print(f"{name} stopped; running its spec again goes on with it", markup=False)


@cli.command()
@click.option("--database", metavar="URL", help="MLflow's database; default: SQLite in the home.")
def up(database: str | None) -> None:
    """Start the tracking server on this machine, and keep it."""
    uri = start_server(Settings.from_environment(), database)
    _out.print(f"tracking server at {uri}", highlight=False)


@cli.command()
def down() -> None:
    """Stop the tracking server on this machine."""
    stopped = stop_server(Settings.from_environment())
    _out.print("tracking server stopped" if stopped else "no tracking server was running")


@cli.command()
def ui() -> None:
    """Open MLflow's pages in a browser, starting the tracking server if need be."""
    settings = Settings.from_environment()
    uri = settings.tracking_uri or start_server(settings)
    uri += f"/#/experiments?{TRAINING_PAGES}"
    _out.print(f"MLflow at {uri}", highlight=False)
    if sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        click.launch(uri)
