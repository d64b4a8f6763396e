"""The command ``snn-sweep``: a thin shell over the driver, the tracking server and the answers."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli import archives, models, papers, sweeps
from orchestration.cli.console import err, out, print_results, terminal_width
from orchestration.cli.probing import print_probed, probe_cells
from orchestration.errors import (
    FAILED,
    INTERRUPTED,
    UNREACHABLE,
    WRONG_INPUT,
    InputError,
    SweepError,
)
from orchestration.report.forms import FORMATS
from services.errors import ServiceError
from services.settings import Settings, SettingsError

if TYPE_CHECKING:
    from orchestration.results.forecast import Forecast
    from orchestration.sweep.plan import Plan
    from orchestration.sweep.spec import SweepSpec

__all__ = ["cli"]

PIPE_CLOSED = 128 + signal.SIGPIPE
"""What a shell makes of a program that could not write any more."""

# Each command imports what it needs: --help and a mistake in a spec are answered at once.


class _Commands(click.Group):
    """Turns errors into one message on standard error and the exit code that belongs to them."""

    def invoke(self, ctx: click.Context) -> Any:
        # The user's own modules lie in the folder that the command is started from.
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string, as Python itself puts there
        try:
            result = super().invoke(ctx)
            sys.stdout.flush()
        except BrokenPipeError:  # its reader has enough, such as `head`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(PIPE_CLOSED)
        except Exception as error:
            code = _exit_code(error)
            if code is None or ctx.params["debug"]:
                raise
            err.print(f"snn-sweep: {error}", markup=False, highlight=False, style="red")
            ctx.exit(code)
        except KeyboardInterrupt:
            if ctx.params["debug"]:
                raise
            err.print("snn-sweep: interrupted")
            ctx.exit(INTERRUPTED)
        return result


def _exit_code(error: Exception) -> int | None:
    """What an error ends a command with; None for one that is a mistake of ours."""
    if isinstance(error, SweepError):
        return error.exit_code
    if isinstance(error, SettingsError):
        return WRONG_INPUT
    mlflow = sys.modules.get("mlflow.exceptions")  # who has not loaded it cannot have raised its
    if isinstance(error, ServiceError) or (mlflow and isinstance(error, mlflow.MlflowException)):
        return UNREACHABLE
    return None


@click.group(cls=_Commands)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.version_option(package_name="snn-norm")
def cli(debug: bool) -> None:
    """Sweeps over architecture, norm and seed, recorded in MLflow.

    SPEC is a YAML file, or the name of a packaged spec.
    """


for _command in (*sweeps.COMMANDS, *models.COMMANDS, *archives.COMMANDS, *papers.COMMANDS):
    cli.add_command(_command)

_spec = click.argument("spec", metavar="SPEC")
_name = click.argument("name", metavar="NAME")
_fresh = click.option(
    "--fresh",
    is_flag=True,
    help="Run every trial again; existing runs stay in MLflow but no longer count.",
)


@cli.command()
@_spec
@_fresh
@click.option("--json", "as_json", is_flag=True, help="Print only the plan, as JSON.")
@click.option("--data", is_flag=True, help="Also load each data set, as run does before it starts.")
@click.option(
    "--probe",
    "probed",
    is_flag=True,
    help="Also load each data set, give each cell's network one batch, and warn of those that are "
    "predicted to collapse.",
)
def plan(spec: str, fresh: bool, as_json: bool, data: bool, probed: bool) -> None:
    """Check SPEC and print what would run, without starting it."""
    from orchestration.execution.planning import forecast_of, plan_sweep
    from orchestration.sweep.spec import SweepSpec

    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    if probed:
        err.print("loading each data set; one that is missing is downloaded")
    if data or probed:
        from orchestration.execution.preflight import check_data

        check_data(sweep, settings)
    planned = plan_sweep(sweep, fresh=fresh)
    found = probe_cells(planned, settings.data, sweep.resources.cpu) if probed else None
    if as_json:
        kept = {"keep": sweep.keeps(), "bytes": models.bytes_to_keep(sweep, planned)}
        told: dict[str, Any] = {"name": sweep.name, **planned.to_dict(), "models": kept}
        if (whole := forecast_of(sweep, planned)) is not None:
            told["seeds"] = dataclasses.asdict(whole)
        if found is not None:
            told["probe"] = [one.to_dict() for one in found]
        click.echo(json.dumps(told, indent=2))
        return
    _print_plan(sweep, planned)
    if found is not None:
        print_probed(found)


def _print_plan(spec: SweepSpec, planned: Plan) -> None:
    from rich.table import Table

    from orchestration.execution.planning import forecast_of
    from orchestration.progress.state import duration
    from orchestration.sweep.plan import estimate_seconds

    table = Table("trial", "key", "what happens", box=None, pad_edge=False)
    for trial in planned.run:
        table.add_row(trial.label, trial.key, "runs")
    for one in planned.resume:
        epochs = one.trial.config.epochs
        what = f"resumes after epoch {one.run.epochs_done}" + (f" of {epochs}" if epochs else "")
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
    models.print_kept(spec, planned)
    if whole := forecast_of(spec, planned):
        _print_forecast(spec, whole)


def _print_forecast(spec: SweepSpec, whole: Forecast) -> None:
    from rich.table import Table

    from orchestration.report.table import hours_in_words

    certain, most = len(spec.certain_seeds()), len(spec.seed_order())
    out.print("seeds until decided: above is what the record asks for so far; in all")
    table = Table("", "trials", f"{whole.hours_of} hours", "", box=None, pad_edge=False)
    for name, cost, why in (
        ("certain", whole.certain, f"{certain} seeds of each cell"),
        ("likely", whole.likely, "if seeds go on as those so far"),
        ("at most", whole.most, f"{most} seeds of each cell that is compared"),
    ):
        if cost is None:
            table.add_row(name, "–", "–", "known once every comparison has two pairs of seeds")
        else:
            hours = "–" if cost.hours is None else hours_in_words(cost.hours)
            table.add_row(name, f"{cost.trials:,}", hours, why)
    out.print(table)


@cli.command()
@_spec
@_fresh
def run(spec: str, fresh: bool) -> None:
    """Run SPEC and print its table. Finished trials do not run again."""
    from orchestration.sweep.spec import SweepSpec

    # A shell's `&` has it ignored, and `snn-sweep stop` sends it.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    from orchestration.execution.driver import run_sweep
    from orchestration.execution.here import log_path
    from orchestration.progress.display import make_watch
    from orchestration.progress.event_log import FileLog
    from orchestration.progress.events import both

    log = FileLog(log_path(settings, sweep.name))
    with make_watch(err) as watch:
        outcome = run_sweep(sweep, fresh=fresh, settings=settings, watch=both(watch, log))
    print_results(sweep.name)
    if outcome.unfinished:
        labels = ", ".join(outcome.unfinished[:3]) + (" …" if len(outcome.unfinished) > 3 else "")
        err.print(
            f"gpu_hours are used up: {len(outcome.unfinished)} trials are missing ({labels}); with "
            f"more of them in the spec, go on with: snn-sweep run {spec}",
            markup=False,
        )
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
    """Print the best of seeds of sweep NAME, one row per cell."""
    if form == "table":
        print_results(name)
    else:
        from orchestration.record.names import BEST_TEST_ACCURACY
        from orchestration.report.formats import render
        from orchestration.results.results import Results

        snapshot = Results(name).snapshot([BEST_TEST_ACCURACY])
        click.echo(render(snapshot.best_of_seeds(), form, metric=snapshot.metric))


@cli.command()
@_name
@click.option(
    "--output",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder to write to; default: NAME-report.",
)
def report(name: str, output: Path | None) -> None:
    """Write the report of sweep NAME: tables, figures and one page with everything."""
    from orchestration.report.write import write_report

    page = write_report(name, output or Path(f"{name.replace('/', '_')}-report"))
    out.print(f"report in {page.parent}; open {page}", highlight=False, markup=False)


@cli.command()
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", required=False)
@click.option(
    "--at",
    "versions",
    nargs=2,
    metavar="VERSION VERSION",
    help="Of sweep A alone: its trials by two versions of the code, or commits, seed by seed.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="table", show_default=True)
def compare(first: str, second: str | None, versions: tuple[str, str] | None, form: str) -> None:
    """Compare sweeps A and B cell by cell, or two versions of the code by sweep A.

    Either may be headline-published: the headline as it was published.
    """
    if (second is None) == (versions is None):
        raise InputError("compare takes two sweeps, or one with --at VERSION VERSION")
    from orchestration.report.formats import render

    if versions is not None:
        from orchestration.results.results import Results
        from orchestration.sweep.metric import TEST_ACCURACY

        frame, metric = Results(first).compare_versions(*versions), TEST_ACCURACY
        told = f"Test accuracy of {first}, mean of pairs: A is {versions[0]}, B is {versions[1]}"
    else:
        from orchestration.results.comparison import comparison

        assert second is not None
        frame, metric = comparison(first, second)
        told = f"{metric.title}, best of seeds and mean: A is {first}, B is {second}"
    if form == "table":
        click.echo(told)
    click.echo(render(frame, form, terminal_width(), metric))


@cli.command()
@click.option("--database", metavar="URL", help="MLflow's database; default: SQLite in the home.")
def up(database: str | None) -> None:
    """Start the tracking server on this machine and leave it running."""
    from services.tracking import start_server

    uri = start_server(Settings.from_environment(), database)
    out.print(f"tracking server at {uri}", highlight=False)


@cli.command()
def down() -> None:
    """Stop the tracking server on this machine."""
    from services.tracking import stop_server

    stopped = stop_server(Settings.from_environment())
    out.print("tracking server stopped" if stopped else "no tracking server was running")


@cli.command()
def ui() -> None:
    """Open the pages of all sweeps in a browser; start the tracking server if necessary."""
    from orchestration.record.names import TRAINING_PAGES
    from services.tracking import check_reachable, has_pages, start_server

    settings = Settings.from_environment()
    if settings.tracking_uri:
        check_reachable(settings.tracking_uri)
    uri = settings.tracking_uri or start_server(settings)
    mlflow = f"{uri}/#/experiments?{TRAINING_PAGES}"
    page = f"{uri}/sweeps" if has_pages(uri) else mlflow  # another's server may be MLflow alone
    if page != mlflow:
        out.print(f"sweeps at {page}", highlight=False)
    out.print(f"MLflow at {mlflow}", highlight=False)
    if sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        click.launch(page)
