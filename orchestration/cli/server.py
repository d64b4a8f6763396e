"""The commands of this machine's tracking server: up, down, ui."""

from __future__ import annotations

import os
import sys

import click

from orchestration.cli.console import out
from services.settings import Settings


@click.command()
@click.option("--database", metavar="URL", help="MLflow's database; default: SQLite in the home.")
@click.option(
    "--warm",
    is_flag=True,
    help="Also keep Ray running, so that the next sweeps from this folder start sooner. Both end "
    "after some time without a sweep.",
)
@click.option(
    "--for",
    "minutes",
    metavar="MINUTES",
    type=click.FloatRange(0, min_open=True),
    help="How long --warm waits for a sweep.  [default: 30]",
)
def up(database: str | None, warm: bool, minutes: float | None) -> None:
    """Start the tracking server on this machine and leave it running."""
    settings = Settings.from_environment()
    if warm:
        if database is not None:
            raise click.UsageError("--warm and --database: run `snn-sweep up --database URL` first")
        _keep_warm(settings, minutes or 30.0)
        return
    if minutes is not None:
        raise click.UsageError("--for says how long --warm waits: add --warm, or leave it out")
    from services.tracking import start_server

    uri = start_server(settings, database)
    out.print(f"tracking server at {uri}")


def _keep_warm(settings: Settings, minutes: float) -> None:
    from orchestration.execution.ray_session import RayOrder
    from orchestration.execution.warm_ray import find_ray, keep_ray
    from services.tracking import tracking_server

    if warm := find_ray(settings):
        out.print(
            f"process {warm.pid} keeps Ray warm already, for {warm.minutes:g} minutes without a "
            "sweep; to change that: snn-sweep down"
        )
        return
    with tracking_server(settings) as uri:
        out.print(f"tracking server at {uri}")
        keep_ray(RayOrder(settings).kept(minutes), until_ready=True)
    out.print(f"Ray is kept warm until {minutes:g} minutes have passed without a sweep")


@click.command()
def down() -> None:
    """Stop the tracking server on this machine, and the Ray that up --warm keeps."""
    settings = Settings.from_environment()
    stopped = False
    if (settings.home / "ray.json").exists():
        from orchestration.execution.warm_ray import stop_ray

        if stop_ray(settings):
            out.print("Ray stopped")
            stopped = settings.tracking_uri is None  # it ends with its last user
    from services.tracking import stop_server

    stopped |= stop_server(settings)
    out.print("tracking server stopped" if stopped else "no tracking server was running")


@click.command()
def ui() -> None:
    """Open the pages of all sweeps in a browser; start the tracking server if necessary."""
    from orchestration.record.names import TRAINING_PAGES
    from services.tracking import check_reachable, has_pages, start_server

    settings = Settings.from_environment()
    if settings.tracking_uri:
        check_reachable(settings.tracking_uri)
    uri = settings.tracking_uri or start_server(settings)
    mlflow = f"{uri}/#/experiments?{TRAINING_PAGES}"
    page = f"{uri}/sweeps" if has_pages(uri) else mlflow  # the user's server may be plain MLflow
    if page != mlflow:
        out.print(f"sweeps at {page}")
    out.print(f"MLflow at {mlflow}")
    if sys.platform == "darwin" or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ):
        click.launch(page)


COMMANDS = (up, down, ui)
