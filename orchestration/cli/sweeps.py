"""The commands of a sweep's life, here or on a cluster: submit, list, status, logs, stop.

With ``--cluster`` they ask its job server who drives a sweep, and the tracking server that
``MLFLOW_TRACKING_URI`` names how far it has come.
"""

from __future__ import annotations

import json
import os
import signal
import time
from datetime import datetime
from typing import Any

import click
from mlflow import MlflowClient
from rich.table import Table

from orchestration.cli.console import err, out, print_results
from orchestration.errors import INTERRUPTED, InputError
from orchestration.reading.overview import SweepOverview, all_sweeps, one_sweep
from orchestration.record.client import connect
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec, packaged_specs
from services.settings import Settings
from services.tracking import reading_uri

__all__ = ["COMMANDS"]

_name = click.argument("name", metavar="NAME")
_cluster = click.option(
    "--cluster",
    metavar="URL",
    envvar="RAY_API_SERVER_ADDRESS",
    help="A Ray cluster's job server, such as http://127.0.0.1:8265. Default: "
    "RAY_API_SERVER_ADDRESS; without it, this machine.",
)


@click.command()
@click.argument("spec", metavar="SPEC")
@_cluster
@click.option("--wait", is_flag=True, help="Follow it to its end, and end as it does.")
def submit(spec: str, cluster: str | None, wait: bool) -> None:
    """Run SPEC on a Ray cluster, as a job; what was interrupted goes on."""
    from orchestration.cluster.submit import submit_sweep

    sweep = SweepSpec.load(spec)
    submission = submit_sweep(sweep, cluster=cluster)
    what = "submitted as" if submission.is_new else "is running already, as"
    err.print(f"{sweep.name} {what} {submission.job_id}", markup=False, highlight=False)
    if not wait:
        follow = f"follow it with: snn-sweep logs -f {sweep.name}"
        err.print(f"{follow} --cluster {cluster}", markup=False, highlight=False)
        return
    code = submission.wait()
    if code == 0 and Settings.from_environment().tracking_uri is not None:
        print_results(Results(sweep.name))
    raise SystemExit(INTERRUPTED if code is None else code)


@click.command("list")
@_cluster
def list_sweeps(cluster: str | None) -> None:
    """List the sweeps of the tracking server, and of a cluster."""
    headings = ["sweep", "status", "finished", "started", *(["job"] if cluster else [])]
    table = Table(*headings, box=None, pad_edge=False)
    client = _reading_client(cluster)
    jobs = _newest_jobs(cluster)
    for sweep in all_sweeps(client) if client else []:
        started = sweep.started.astimezone().strftime("%Y-%m-%d %H:%M")
        row = [sweep.name, sweep.status, sweep.progress, started]
        table.add_row(*row, *([jobs.pop(sweep.name, "")] if cluster else []))
    for name, job in jobs.items():  # not in MLflow yet, or MLflow was not named
        table.add_row(name, "", "", "", job)
    if table.row_count:
        out.print(table)
    else:
        packaged = ", ".join(packaged_specs())
        how = "submit" if cluster else "run"
        err.print(f"no sweeps yet; begin with: snn-sweep {how} SPEC (packaged: {packaged})")


@click.command()
@_name
@_cluster
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON and nothing else.")
def status(name: str, cluster: str | None, as_json: bool) -> None:
    """Say how far sweep NAME has come, and who drives it."""
    client = _reading_client(cluster)
    if client is None:
        raise InputError(
            f"how far sweep {name!r} has come is in its tracking server: set MLFLOW_TRACKING_URI"
            if cluster
            else f"there is no sweep {name!r}: nothing has been run on this machine yet"
        )
    sweep = one_sweep(client, name)
    driver = _newest_jobs(cluster).get(name) if cluster else _local_driver(name)
    if as_json:
        click.echo(json.dumps(_status_json(sweep, driver), indent=2))
        return
    out.print(f"{sweep.name}: {sweep.status}, {sweep.progress} finished")
    if sweep.expected is None:
        out.print("how many it wants is not known: its spec cannot be read by this version")
    if sweep.status == "incomplete":
        out.print(f"{sweep.missing} missing: deleted in MLflow; running its spec makes them anew")
    for state, count in sorted(sweep.trials.items()):
        out.print(f"  {count} {state}")
    if driver:
        out.print(f"driven by {driver}", markup=False, highlight=False)
    elif sweep.status == "running":
        where = "there" if cluster else "from this machine"
        again = "submitting" if cluster else "running"
        out.print(f"nobody drives it {where}; {again} its spec again goes on with it")


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


@click.command()
@_name
@_cluster
@click.option("-f", "--follow", is_flag=True, help="Go on until the sweep ends.")
def logs(name: str, cluster: str | None, follow: bool) -> None:
    """Print what sweep NAME tells of itself."""
    from orchestration.cluster import follow as following

    if cluster is None:
        following.print_local(Settings.from_environment(), name, out, to_the_end=follow)
    else:
        from services.jobs import JobServer

        following.print_remote(JobServer(cluster), name, out, to_the_end=follow)


@click.command()
@_name
@_cluster
def stop(name: str, cluster: str | None) -> None:
    """Stop sweep NAME as Ctrl-C would: at its last checkpoints, to be gone on with later."""
    if cluster is None:
        _stop_here(name)
        again = "running"
    else:
        from orchestration.cluster.submit import stop_job
        from services.jobs import JobServer

        with err.status(f"waiting for {name} to close its books"):
            stop_job(JobServer(cluster), name)
        again = "submitting"
    out.print(f"{name} stopped; {again} its spec again goes on with it", markup=False)


def _stop_here(name: str) -> None:
    from orchestration.store.lease import holder
    from orchestration.store.open import sweep_storage

    storage = sweep_storage(Settings.from_environment(), name)
    driver = holder(storage)
    if driver is None:
        raise InputError(f"nobody runs sweep {name!r} from this machine's checkpoint store")
    if not driver.is_here:
        raise InputError(f"sweep {name!r} is run by {driver}: stop it there")
    os.kill(driver.pid, signal.SIGINT)
    with err.status(f"waiting for {driver} to close its books"):
        while holder(storage) == driver:
            time.sleep(0.2)


def _local_driver(name: str) -> str | None:
    from orchestration.store.lease import holder
    from orchestration.store.open import sweep_storage

    driver = holder(sweep_storage(Settings.from_environment(), name))
    return str(driver) if driver else None


def _newest_jobs(cluster: str | None) -> dict[str, str]:
    """The newest job of each sweep of a cluster, as text; of a live one with its start."""
    if cluster is None:
        return {}
    from services.jobs import JobServer

    newest = {}
    for job in JobServer(cluster).jobs():
        since = datetime.fromtimestamp(job.started).strftime(" %H:%M") if job.started else ""
        newest[job.sweep] = f"{job.id} ({job.status}{since})"
    return newest


def _reading_client(cluster: str | None) -> MlflowClient | None:
    """The tracking server; a cluster's is never the one that was started on this machine."""
    settings = Settings.from_environment()
    if cluster is not None and settings.tracking_uri is None:
        return None
    uri = reading_uri(settings)
    return connect(uri) if uri else None


COMMANDS = (submit, list_sweeps, status, logs, stop)
"""For ``snn-sweep``."""
