"""Backs a tracking server up into a folder, and restores it from one.

    backup(record, folder)      # may run while sweeps run
    restore(record, folder)     # while no server runs

A backup is a folder with these files:

    manifest.json               when it was made and of what (`Manifest`)
    mlflow.db, mlflow.dump      the database of runs, on SQLite or on PostgreSQL
    users.db, users.dump        the database of MLflow's users, if there is one
    artifacts/                  the artifacts, unless they are in S3
    secrets/                    the cluster's secrets, if they were asked for
    SHA256SUMS                  the checksums of all these, for `sha256sum --check`

Artifacts are copied after the databases, so a run that is finished in the backup has all of its
artifacts. Work in progress is not in it: a trial that was not finished starts again.
"""

from __future__ import annotations

import json
import secrets
import shutil
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from services.backup_files import (
    copy_tree,
    files_of,
    read_sums,
    replacing,
    sum_of,
    write_sums,
)
from services.dumps import Contents, Database, SqliteDatabase, database_at
from services.errors import BackupError, DiffersError
from services.settings import Settings, SettingsError, database_url
from services.tracking import home_files

_MANIFEST, _SUMS = "manifest.json", "SHA256SUMS"
_MIGRATIONS = {"mlflow": "store/db_migrations", "users": "server/auth/db/migrations"}
"""MLflow's folders with the versions of each database's schema."""


@dataclass(frozen=True)
class ServerRecord:
    """Where a tracking server keeps what it records.

    Attributes:
        database: the URL of the database of runs, as `services.settings.database_url` gives it.
        users: the URL of the database of MLflow's users; None without a login.
        artifacts: the folder of the artifacts, or an address in S3, which is not backed up.
    """

    database: str
    users: str | None
    artifacts: str

    @classmethod
    def of(
        cls, settings: Settings, database: str | None, users: str | None, artifacts: str | None
    ) -> ServerRecord:
        """What the user names; without a database, that of the server of this machine.

        Raises:
            SettingsError: a URL is not valid, or there is no such server.
        """
        if database is None:
            database, folder = home_files(settings)
            artifacts = artifacts or str(folder)
        elif artifacts is None:
            raise SettingsError("--database needs --artifacts, the folder or s3://… beside it")
        return cls(
            database=database_url(database, "--database"),
            users=None if users is None else database_url(users, "--users"),
            artifacts=artifacts,
        )

    def databases(self) -> dict[str, Database]:
        """The databases by the names of their dumps, that of the runs first."""
        databases = {}
        for name, url in {"mlflow": self.database, "users": self.users}.items():
            if url is not None:
                database = database_at(url)
                databases[f"{name}.{database.suffix}"] = database
        return databases

    @property
    def artifact_folder(self) -> Path | None:
        """The folder of the artifacts; None if they are in S3."""
        return None if "://" in self.artifacts else Path(self.artifacts)


@dataclass(frozen=True)
class Manifest:
    """What a backup was made of.

    Attributes:
        time: when it was made, in ISO 8601.
        versions: those of MLflow and of this package.
        databases: what each database held, by the name of its dump.
        artifacts: None if the backup has them, otherwise the address where they are.
    """

    time: str
    versions: dict[str, str]
    databases: dict[str, Contents]
    artifacts: str | None

    @property
    def in_words(self) -> str:
        """The number of runs, and the time of the backup."""
        runs = sum(held.rows.get("runs", 0) for held in self.databases.values())
        return f"{runs} runs, as they were at {self.time}"

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """The manifest of a backup.

        Raises:
            BackupError: the folder is not a backup, or not of this version.
        """
        try:
            fields = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
            databases = {name: Contents(**held) for name, held in fields["databases"].items()}
            return cls(**{**fields, "databases": databases})
        except FileNotFoundError:
            raise BackupError(f"{folder} is not a backup: it has no {_MANIFEST}") from None
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise BackupError(f"{folder / _MANIFEST} cannot be read: {error}") from None


def backup(record: ServerRecord, folder: Path, secrets_folder: Path | None = None) -> Manifest:
    """Make a backup. It is complete if its folder exists.

    Args:
        record: what is backed up.
        folder: the backup's folder, which must not exist.
        secrets_folder: the folder of the cluster's secrets, if they are wanted too.

    Raises:
        BackupError: the folder exists, there is nothing to back up, or a disk is full.
        ServiceError: a database cannot be dumped.
    """
    if folder.exists():
        raise BackupError(f"{folder} exists: name a folder that does not, for the new backup")
    databases = record.databases()
    for database in databases.values():
        if not _exists(database):
            raise BackupError(f"there is nothing to back up: {database} does not exist")
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    partial.mkdir(mode=0o700)  # databases and secrets are for their owner alone
    try:
        sums: dict[str, str] = {}
        time = datetime.now(UTC).isoformat(timespec="seconds")
        held = {}
        for name, database in databases.items():
            held[name] = database.dump(partial / name)
            sums[name] = sum_of(partial / name)
        artifacts = record.artifact_folder
        if artifacts is not None:
            sums |= copy_tree(artifacts, partial / "artifacts")
        if secrets_folder is not None:
            sums |= copy_tree(secrets_folder, partial / "secrets")
        manifest = Manifest(
            time=time,
            versions={"mlflow": version("mlflow"), "snn-norm": version("snn-norm")},
            databases=held,
            artifacts=None if artifacts is not None else record.artifacts,
        )
        (partial / _MANIFEST).write_text(json.dumps(asdict(manifest), indent=2) + "\n", "utf-8")
        sums[_MANIFEST] = sum_of(partial / _MANIFEST)
        write_sums(partial / _SUMS, sums)
        partial.rename(folder)
    except BaseException as error:
        shutil.rmtree(partial)
        if isinstance(error, OSError):
            raise BackupError(f"no backup was made: {error}") from error
        raise
    return manifest


def check(folder: Path) -> Manifest:
    """Check that a backup is undamaged and that this version of MLflow can use it.

    Raises:
        BackupError: it is not, or cannot be.
    """
    manifest = Manifest.read(folder)
    sums = read_sums(folder / _SUMS)
    for name, expected in sums.items():
        file = folder / name
        if not file.is_file():
            raise BackupError(f"the backup {folder} is damaged: {name} is missing")
        if sum_of(file) != expected:
            raise BackupError(f"the backup {folder} is damaged: {name} has changed")
    if missing := {_MANIFEST, *manifest.databases} - sums.keys():
        raise BackupError(f"the backup {folder} is damaged: {_SUMS} lacks {sorted(missing)[0]}")
    for name, held in manifest.databases.items():
        if not _knows(name, held.revision):
            raise BackupError(
                f"the backup {folder} was made with MLflow {manifest.versions['mlflow']}, whose "
                f"tables (version {held.revision}) MLflow {version('mlflow')} does not know: "
                "install that version of MLflow, or a newer one"
            )
    return manifest


def overwritten(record: ServerRecord) -> list[str]:
    """What a restoration would overwrite, in words; empty if the server has recorded nothing.

    Raises:
        ServiceError: a database cannot be reached.
    """
    database, found = next(iter(record.databases().values())), []
    if _exists(database):
        found = [f"experiment {name!r} ({count} runs)" for name, count in database.runs().items()]
    folder = record.artifact_folder
    if folder is not None and (count := sum(1 for _ in files_of(folder))):
        found.append(f"{count} files in {folder}")
    return found


def restore(record: ServerRecord, folder: Path) -> Manifest:
    """Replace what a tracking server has recorded by a backup. No server may run meanwhile.

    Everything is loaded beside what there is before anything is replaced.

    Raises:
        BackupError: the backup is damaged or does not fit this server, which is as it was.
        DiffersError: what is restored differs from what was backed up.
        ServiceError: a database is in use or cannot be reached.
    """
    manifest = check(folder)
    databases = record.databases()
    if missing := sorted(manifest.databases.keys() - databases.keys()):
        raise BackupError(
            f"no database is named for {missing[0]} of the backup: --database and, for MLflow's "
            "users, --users name them; a .db belongs on SQLite, a .dump on PostgreSQL"
        )
    if manifest.artifacts is None and record.artifact_folder is None:
        raise BackupError(
            f"the backup has artifacts, which cannot be restored to {record.artifacts}: name a "
            "folder with --artifacts"
        )
    try:
        with ExitStack() as stack:
            commits = []
            if manifest.artifacts is None and record.artifact_folder is not None:
                target = record.artifact_folder
                commits.append(stack.enter_context(replacing(folder / "artifacts", target)))
            for name in manifest.databases:
                if _exists(databases[name]):
                    databases[name].check_unused()
                commits.append(stack.enter_context(databases[name].loading(folder / name)))
            for commit in commits:
                commit()
    except OSError as error:
        raise BackupError(f"nothing was restored: {error}") from error
    for name, held in manifest.databases.items():
        _compare(databases[name], held)
    return manifest


def drill(record: ServerRecord, folder: Path) -> None:
    """Restore a backup's databases beside the server's, compare and remove them again.

    Raises:
        BackupError: the backup is damaged.
        DiffersError: what is restored differs from what was backed up.
        ServiceError: no database can be created there.
    """
    manifest, databases = check(folder), record.databases()
    for name, held in manifest.databases.items():
        with databases[name].temporary(folder.parent) as beside:
            with beside.loading(folder / name) as commit:
                commit()
            _compare(beside, held)


def is_of_older_mlflow(manifest: Manifest) -> bool:
    """Whether this version of MLflow has to migrate the tables before it can use them."""
    return any(
        not _knows(name, held.revision, newest=True) for name, held in manifest.databases.items()
    )


def _compare(database: Database, expected: Contents) -> None:
    found = database.contents()
    if found == expected:
        return
    tables = expected.rows.keys() | found.rows.keys()
    differing = [name for name in tables if expected.rows.get(name) != found.rows.get(name)]
    what = f"rows of {', '.join(sorted(differing))}" if differing else "metrics of finished runs"
    raise DiffersError(f"what was restored to {database} differs from what was backed up: {what}")


def _exists(database: Database) -> bool:
    return not isinstance(database, SqliteDatabase) or database.path.is_file()


def _knows(name: str, revision: str, *, newest: bool = False) -> bool:
    """Whether the installed MLflow knows a version of a schema, or has it as its newest."""
    if not revision:  # the tables of users had none before MLflow 3.6
        return not newest
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError

    spec = find_spec("mlflow")
    assert spec is not None
    assert spec.origin is not None
    scripts = ScriptDirectory(str(Path(spec.origin).parent / _MIGRATIONS[Path(name).stem]))
    if newest:
        return scripts.get_current_head() == revision
    try:
        return scripts.get_revision(revision) is not None
    except CommandError:
        return False
