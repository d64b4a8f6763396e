"""The commands of this machine's tracking server: up, down, ui."""

from __future__ import annotations

import os
import sys

import click

from orchestration.cli.console import out
from services.settings import Settings


@click.command()
@click.option("--database", metavar="URL", help="MLflow's database; default: SQLite in the home.")
def up(database: str | None) -> None:
    """Start the tracking server on this machine and leave it running."""
    from services.tracking import start_server

    uri = start_server(Settings.from_environment(), database)
    out.print(f"tracking server at {uri}")


@click.command()
def down() -> None:
    """Stop the tracking server on this machine."""
    from services.tracking import stop_server

    stopped = stop_server(Settings.from_environment())
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
