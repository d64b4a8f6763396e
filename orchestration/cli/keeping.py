"""The commands of whoever keeps a tracking server: backup, restore, gc, archive."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out, size_in_words
from orchestration.errors import InputError
from services.settings import Settings, SettingsError

_OPTIONS = (
    click.option(
        "--database",
        metavar="URL",
        envvar="MLFLOW_BACKEND_STORE_URI",
        show_envvar=True,
        help="MLflow's database; default: that of the tracking server of this machine.",
    ),
    click.option(
        "--users",
        metavar="URL",
        envvar="MLFLOW_AUTH_DATABASE_URI",
        show_envvar=True,
        help="The database of MLflow's users, if there is a login.",
    ),
    click.option(
        "--artifacts",
        metavar="FOLDER",
        envvar="MLFLOW_ARTIFACTS_DESTINATION",
        show_envvar=True,
        help="The artifacts of MLflow; if they are in S3, they are left out.",
    ),
)


def _of_a_server(command: Callable[..., None]) -> Callable[..., None]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command("backup")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@_of_a_server
@click.option(
    "--secrets",
    metavar="FOLDER",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The cluster's secrets, which are then in the backup too.",
)
@click.option(
    "--keep",
    metavar="N",
    type=click.IntRange(1),
    help="FOLDER has a series of backups: add one, restore it to see that it can be, and keep the "
    "newest N.",
)
def make_backup(folder: Path, secrets: Path | None, keep: int | None, **server: str | None) -> None:
    """Back up the tracking server into FOLDER, which must not exist.

    Sweeps may run meanwhile. The backup has databases and artifacts, but not the work in progress.
    """
    from services.backup import ServerRecord, backup

    record = ServerRecord.of(Settings.from_environment(), **server)
    with err.status("backing up"):
        if keep is None:
            manifest = backup(record, folder, secrets)
        else:
            from services.backup_series import add_backup

            folder, manifest = add_backup(record, folder, keep, secrets)
    out.print(f"{folder}: {manifest.in_words}")
    if manifest.artifacts is not None:
        err.print(f"its artifacts are in {manifest.artifacts}, which is not backed up")


@click.command("restore")
@click.argument("folder", metavar="FOLDER", type=click.Path(path_type=Path))
@_of_a_server
@click.option("--overwrite", is_flag=True, help="Overwrite what the server has recorded.")
def restore_backup(folder: Path, overwrite: bool, **server: Any) -> None:
    """Restore the backup in FOLDER. The tracking server must be stopped."""
    from services.backup import ServerRecord, is_of_older_mlflow, overwritten, restore
    from services.tracking import without_server

    settings = Settings.from_environment()
    record = ServerRecord.of(settings, **server)
    with without_server(settings) if server["database"] is None else nullcontext():
        if lost := overwritten(record):
            what = "\n".join(f"  {line}" for line in lost)
            if not overwrite:
                raise InputError(
                    f"the server has recorded what would be overwritten:\n{what}\nBack it up "
                    "(snn-sweep backup), or overwrite it with --overwrite"
                )
            err.print(f"overwriting\n{what}")
        with err.status("restoring"):
            manifest = restore(record, folder)
    out.print(f"restored: {manifest.in_words}")
    if is_of_older_mlflow(manifest):
        err.print("its tables are of an older MLflow: migrate them with mlflow db upgrade URL")
    if (folder / "secrets").exists():
        err.print(f"its secrets are in {folder / 'secrets'}, and are not restored")


@click.command()
@click.option("--delete", is_flag=True, help="Delete it; without this, it is only listed.")
def gc(delete: bool) -> None:
    """List work in progress (checkpoints, spools) that no sweep needs any more.

    This is the work of trials that are finished, or whose runs have been deleted in MLflow. A sweep
    that runs is left alone, and recorded results are not touched.
    """
    from rich.table import Table

    from orchestration.cluster.leftovers import deleted_runs, look_through
    from orchestration.record.client import connect
    from services.tracking import reading_uri

    settings = Settings.from_environment()
    uri = reading_uri(settings)
    if uri is None:
        raise InputError("nothing has been recorded on this machine")
    client, total = connect(uri), 0
    table = Table("sweep", "trials", "size", "why", box=None, pad_edge=False)
    for found in look_through(client, settings, delete=delete):
        total += found.sizes.total()
        for why, size in found.sizes.items():
            table.add_row(found.name, str(found.trials[why]), size_in_words(size), why)
        if found.busy is not None:
            err.print(f"{found.name} is left alone, as it is used by {found.busy}")
        if not found.is_known:
            size_of_all = size_in_words(found.size)
            err.print(f"{found.name} ({size_of_all}) is left alone: {uri} has no such sweep")
    if table.row_count:
        out.print(table)
        done = "deleted" if delete else "not needed; to delete it: snn-sweep gc --delete"
        out.print(f"{size_in_words(total)} {done}")
    else:
        out.print("there is nothing to delete")
    if count := deleted_runs(client):
        err.print(f"{count} deleted runs are still in MLflow's database: mlflow gc removes them")


@click.command()
@arguments.name
@click.option("--delete", is_flag=True, help="Move them; without this, they are only counted.")
def archive(name: str, delete: bool) -> None:
    """Move the curves of the finished sweep NAME out of MLflow's database.

    They go to a Parquet file among the artifacts of the sweep's own run, from which all answers
    then come. MLflow's own pages show only the last value of each metric after that.
    """
    from orchestration.cluster.move_curves import Curves
    from orchestration.record.client import connect
    from orchestration.store.lease import sweep_lease
    from orchestration.store.open import sweep_storage
    from services.tracking import home_files, reading_uri, tracking_server

    settings = Settings.from_environment()
    uri = reading_uri(settings)
    if uri is None:
        raise InputError("nothing has been recorded on this machine")
    database = settings.database_url
    try:
        database = database or home_files(settings)[0]
    except SettingsError as error:
        raise InputError(
            f"the curves of {name!r} cannot be moved without the tracking server's database: set "
            "SNN_SWEEP_DATABASE_URL to its URL, with a user who may delete rows"
        ) from error
    if not delete:
        found = Curves(connect(uri), name, database)
        words = f"{name}: {found.rows:,} rows of curves, about {size_in_words(found.size)}"
        to_move = f"{words}; to move them: snn-sweep archive {name} --delete"
        out.print(to_move if found.rows else "there is nothing to delete")
        return
    with tracking_server(settings) as uri, sweep_lease(sweep_storage(settings, name), name):
        found = Curves(connect(uri), name, database)
        if not found.rows:
            out.print("there is nothing to delete")
            return
        with err.status(f"moving the curves of {name}"):
            file, size = found.move()
    out.print(f"{name}: {found.rows:,} rows moved to {file}, {size_in_words(size)}")


COMMANDS = (make_backup, restore_backup, gc, archive)
