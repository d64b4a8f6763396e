"""The commands that move a sweep between tracking servers: export, import."""

from __future__ import annotations

from pathlib import Path

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out
from orchestration.errors import InputError
from services.settings import Settings

_file = click.argument("file", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path))


@click.command("export")
@arguments.name
@_file
def export_sweep(name: str, file: Path) -> None:
    """Write the finished trials of sweep NAME to FILE, compressed if it ends in .gz.

    With a search, its pruned trials are written too.
    """
    from orchestration.record import exchange
    from orchestration.record.archive import write_archive
    from orchestration.record.client import connect
    from services.tracking import reading_uri

    uri = reading_uri(Settings.from_environment())
    if uri is None:
        raise InputError(f"there is no sweep {name!r}: nothing has been recorded on this machine")
    with err.status(f"reading {name}"):
        archive = exchange.export_sweep(connect(uri), name)
        write_archive(archive, file)
    size = file.stat().st_size / 1000
    out.print(f"{name}: {len(archive.trials)} trials in {file}, {size:,.0f} kB")


@click.command("import")
@_file
def import_sweep(file: Path) -> None:
    """Import the sweep in FILE into this tracking server. Existing trials do not change.

    FILE is imported whole or not at all.
    """
    from orchestration.record import exchange
    from orchestration.record.archive import read_archive
    from orchestration.record.client import connect
    from orchestration.store.open import sweep_storage
    from services.tracking import tracking_server

    settings = Settings.from_environment()
    archive = read_archive(file, settings.archive_mb)
    storage = sweep_storage(settings, archive.name)
    with tracking_server(settings) as uri, err.status(f"writing {archive.name}"):
        done = exchange.import_sweep(connect(uri), archive, storage)
    existing = f", {done.known} were there" if done.known else ""
    out.print(f"{archive.name}: {done.new} trials imported{existing}")


COMMANDS = (export_sweep, import_sweep)
