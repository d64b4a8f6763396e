"""The commands that control sweeps, here or on a cluster: submit, list, status, logs, stop.

With ``--cluster`` they read drivers from its job server, and progress from the tracking server that
``MLFLOW_TRACKING_URI`` names.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out, print_results
from orchestration.errors import INTERRUPTED, InputError
from orchestration.sweep.packaged import packaged_specs
from services.settings import Settings

if TYPE_CHECKING:
    from orchestration.cluster.remote_sweeps import RemoteSweeps
    from orchestration.execution.local_sweeps import LocalSweeps
    from orchestration.reading.summaries import SweepSummary

    Place = LocalSweeps | RemoteSweeps


def _place(_context: click.Context, _parameter: click.Parameter, address: str | None) -> Place:
    if address is None:
        from orchestration.execution.local_sweeps import LocalSweeps

        return LocalSweeps()
    from orchestration.cluster.remote_sweeps import RemoteSweeps

    return RemoteSweeps(address)


_CLUSTER: dict[str, Any] = {
    "metavar": "URL",
    "envvar": "RAY_API_SERVER_ADDRESS",
    "help": "A Ray cluster's job server, such as http://127.0.0.1:8265. Default: "
    "RAY_API_SERVER_ADDRESS; without it, this machine.",
}
_at = click.option("--cluster", "place", callback=_place, **_CLUSTER)


@click.command()
@arguments.spec
@click.option("--cluster", **_CLUSTER)
@click.option("--wait", is_flag=True, help="Follow the sweep until it ends; exit with its code.")
def submit(spec: str, cluster: str | None, wait: bool) -> None:
    """Run SPEC as a job on a Ray cluster. An interrupted sweep resumes."""
    from orchestration.sweep.spec import SweepSpec

    sweep = SweepSpec.load(spec)  # first, so that mistakes are reported before Ray is imported
    from orchestration.cluster.remote_sweeps import cluster_option
    from orchestration.cluster.submit import submit_sweep

    submission = submit_sweep(sweep, cluster=cluster)
    what = "submitted as" if submission.is_new else "is running already, as"
    err.print(f"{sweep.name} {what} {submission.job_id}")
    if not wait:
        option = cluster_option(submission.cluster)
        err.print(f"follow it with: snn-sweep logs -f {sweep.name}{option}")
        return
    code = submission.wait()
    if code == 0 and Settings.from_environment().tracking_uri is not None:
        print_results(sweep.name)
    raise SystemExit(INTERRUPTED if code is None else code)


@click.command("list")
@_at
def list_sweeps(place: Place) -> None:
    """List the sweeps of the tracking server and of a cluster."""
    from rich.table import Table

    from orchestration.execution.local_sweeps import driver_in_short

    sweeps: list[SweepSummary] = []
    if uri := place.reading_uri():
        from orchestration.reading.listed import recorded_sweeps

        sweeps = recorded_sweeps(uri)
    drivers = place.drivers([sweep.name for sweep in sweeps if sweep.status == "running"])
    headings = ("sweep", "status", "finished", "best", "started", "driven by")
    table = Table(*headings, box=None, pad_edge=False)
    for sweep in sweeps:
        started = sweep.started.astimezone().strftime("%Y-%m-%d %H:%M")
        driver = driver_in_short(sweep.status, drivers.pop(sweep.name, None))
        state = f"{sweep.status} (waiting)" if sweep.waiting else sweep.status
        table.add_row(sweep.name, state, sweep.progress, sweep.best_text, started, driver)
    for name, driver in drivers.items():  # sweeps that are not in MLflow, or no MLflow is named
        table.add_row(name, "", "", "", "", driver)
    if table.row_count:
        out.print(table)
    else:
        packaged = f"packaged: {', '.join(packaged_specs())}"
        err.print(f"no sweeps yet; begin with: snn-sweep {place.how_to_run} SPEC ({packaged})")


@click.command()
@arguments.name
@_at
@click.option("--json", "as_json", is_flag=True, help="Print only the status, as JSON.")
def status(name: str, place: Place, as_json: bool) -> None:
    """Print the progress of sweep NAME and who drives it."""
    from orchestration.execution.local_sweeps import NOBODY, driver_in_words
    from orchestration.reading.listed import find_sweep

    uri = place.reading_uri()
    if uri is None:
        raise InputError(f"there is no sweep {name!r} to read: {place.unrecorded}")
    sweep = find_sweep(uri, name)
    driver = place.drivers([name]).get(name)
    if as_json:
        fields = {
            "name": sweep.name,
            "status": sweep.status,
            "waiting": sweep.waiting,
            "started": sweep.started.isoformat(),
            "finished": sweep.finished,
            "expected": sweep.expected,
            "trials": sweep.trials,
            "driver": None if driver == NOBODY else driver,
        }
        click.echo(json.dumps(fields, indent=2))
        return
    out.print(f"{sweep.name}: {sweep.status}, {sweep.progress} finished")
    if sweep.waiting:
        out.print(sweep.waiting)
    if sweep.expected is None:
        out.print("the number of its trials is unknown: this version cannot read its spec")
    if sweep.status == "incomplete":
        out.print(f"{sweep.missing} missing: deleted in MLflow; running its spec runs them again")
    if sweep.not_wanted:
        out.print(f"{sweep.not_wanted} more have a result that the spec no longer wants")
    for state, count in sorted(sweep.trials.items()):
        out.print(f"  {count} {state}")
    if words := driver_in_words(sweep.status, driver, place.how_to_run):
        out.print(words)
    if writer := place.report_writer(name):
        out.print(f"its report is being written by {writer}")


@click.command()
@arguments.name
@_at
@click.option("-f", "--follow", is_flag=True, help="Follow the log until the sweep ends.")
def logs(name: str, place: Place, follow: bool) -> None:
    """Print the log of sweep NAME."""
    from orchestration.progress.display import LineDisplay
    from orchestration.progress.event_log import Replay

    replay = Replay()
    place.show_log(name, replay, LineDisplay(out, lambda: replay.time), to_the_end=follow)


@click.command()
@arguments.name
@_at
def stop(name: str, place: Place) -> None:
    """Stop sweep NAME as Ctrl-C would. It can resume from its last checkpoints."""
    from orchestration.execution.trials.planning import recorder_of_sweep

    settings = Settings.from_environment()
    if settings.login and (recorder := recorder_of_sweep(name, settings)):
        recorder.check_writable()
    with err.status(f"waiting for {name} to close its runs"):
        place.stop(name)
    out.print(f"{name} stopped; to continue: snn-sweep {place.how_to_run} its spec")


COMMANDS = (submit, list_sweeps, status, logs, stop)
