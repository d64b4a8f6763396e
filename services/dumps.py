"""Dumps a database of MLflow into a file and loads such a file, on SQLite and on PostgreSQL.

    contents = database_at(url).dump(file)              # one snapshot, while others write
    with database_at(url).loading(file) as commit:      # until the commit nothing has changed
        commit()

PostgreSQL's own programs do this for PostgreSQL: ``pg_dump``, ``pg_restore`` and ``psql``, of the
server's major version.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import sqlite3
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Self

import sqlalchemy as sa

from services.errors import BackupError, ServiceError

_VERSION_TABLES = ("alembic_version", "alembic_version_auth")
"""The tables with the version of a schema: that of tracking, and that of MLflow's users."""

_FINISHED_METRICS = """
    SELECT runs.run_uuid, key, value, step, is_nan FROM latest_metrics
    JOIN runs ON runs.run_uuid = latest_metrics.run_uuid WHERE status = 'FINISHED'
"""
_EXPERIMENTS = """
    SELECT experiments.name, count(run_uuid) FROM experiments
    JOIN runs ON runs.experiment_id = experiments.experiment_id
    GROUP BY experiments.name ORDER BY experiments.name
"""
_EMPTY = """
SET LOCAL client_min_messages = warning;
DROP SCHEMA public CASCADE;
CREATE SCHEMA public AUTHORIZATION pg_database_owner;
GRANT USAGE ON SCHEMA public TO PUBLIC;
COMMENT ON SCHEMA public IS 'standard public schema';
"""
"""Leaves the schema as it is in a new database."""


@dataclass(frozen=True)
class Contents:
    """What a database holds, to compare two of them.

    Attributes:
        revision: the version of its schema, an identifier of Alembic's; empty without tables.
        rows: the number of rows of each table.
        digest: a hash of the last values of all metrics of all finished runs.
    """

    revision: str
    rows: dict[str, int]
    digest: str


class Database(ABC):
    """A database of MLflow's, of its runs or of its users."""

    suffix: str
    """How the names of its dumps end."""

    def __init__(self, url: sa.URL) -> None:
        self.url = url

    def __str__(self) -> str:
        return self.url.render_as_string()

    def contents(self) -> Contents:
        """What the database holds now.

        Raises:
            ServiceError: it cannot be reached.
        """
        with self.connected() as connection:
            return _contents(connection)

    def runs(self) -> dict[str, int]:
        """The number of runs of each experiment that has any, by its name.

        Raises:
            ServiceError: it cannot be reached.
        """
        with self.connected() as connection:
            if not sa.inspect(connection).has_table("runs"):
                return {}
            rows = connection.execute(sa.text(_EXPERIMENTS))
            return {str(name): int(count) for name, count in rows}

    @contextmanager
    def connected(self, *, autocommit: bool = False) -> Iterator[sa.Connection]:
        """A connection, in one transaction that sees one state of the database.

        Args:
            autocommit: each statement is a transaction instead.

        Raises:
            ServiceError: the database cannot be reached.
        """
        isolation = "AUTOCOMMIT" if autocommit else self._isolation
        engine = sa.create_engine(self.url, poolclass=sa.NullPool, isolation_level=isolation)
        try:
            with engine.connect() as connection:
                yield connection
        except sa.exc.DBAPIError as error:
            reason = " ".join(str(error.orig).split())
            raise ServiceError(f"The database {self} cannot be used: {reason}") from None

    _isolation: str

    @abstractmethod
    def check_unused(self) -> None:
        """Check that no other program uses the database, as far as that can be seen.

        Raises:
            ServiceError: one does, or the database cannot be reached.
        """

    @abstractmethod
    def dump(self, file: Path) -> Contents:
        """Write one consistent state of the database to a new file, and describe that state.

        Raises:
            ServiceError: the database or PostgreSQL's programs cannot be used.
        """

    @abstractmethod
    def loading(self, file: Path) -> AbstractContextManager[Callable[[], None]]:
        """Load a dump in place of all tables; gives the function that makes this take effect.

        Raises:
            BackupError: the dump cannot be loaded; the database is as it was.
            ServiceError: the database or PostgreSQL's programs cannot be used.
        """

    @abstractmethod
    def temporary(self, folder: Path) -> AbstractContextManager[Self]:
        """An empty database of the same kind beside this one, or in the folder, for the context.

        Raises:
            ServiceError: it cannot be created.
        """


class SqliteDatabase(Database):
    """A file; the rows that are written while it is dumped wait, as SQLite has one writer."""

    suffix, _isolation = "db", "SERIALIZABLE"

    def __str__(self) -> str:
        return str(self.path)

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.url.database or "")

    def check_unused(self) -> None:
        """Do nothing: whether another program has the file open cannot be seen."""

    def dump(self, file: Path) -> Contents:
        try:
            with (
                closing(sqlite3.connect(self.path)) as live,
                closing(sqlite3.connect(file)) as copy,
            ):
                live.backup(copy)
        except sqlite3.Error as error:
            raise ServiceError(f"{self.path} cannot be dumped to {file}: {error}") from None
        return SqliteDatabase(self.url.set(database=str(file))).contents()

    @contextmanager
    def loading(self, file: Path) -> Iterator[Callable[[], None]]:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        loaded = self.path.with_name(f".{self.path.name}.restoring")

        def commit() -> None:
            # What a server that was killed has left of the former database is not for this one.
            for suffix in ("-journal", "-wal", "-shm"):
                Path(f"{self.path}{suffix}").unlink(missing_ok=True)
            loaded.replace(self.path)

        try:
            shutil.copyfile(file, loaded)
            with closing(sqlite3.connect(loaded)) as connection:
                (state,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            if state != "ok":
                raise BackupError(f"{file} is not a whole database of SQLite: {state}")
            yield commit
        except sqlite3.DatabaseError as error:
            raise BackupError(f"{file} is not a whole database of SQLite: {error}") from None
        finally:
            loaded.unlink(missing_ok=True)

    @contextmanager
    def temporary(self, folder: Path) -> Iterator[Self]:
        with tempfile.TemporaryDirectory(prefix=".restored-", dir=folder) as beside:
            yield type(self)(self.url.set(database=str(Path(beside) / self.path.name)))


class PostgresDatabase(Database):
    """A database on a PostgreSQL server, where the URL's user owns it or is a superuser."""

    suffix, _isolation = "dump", "REPEATABLE READ"

    def check_unused(self) -> None:
        with self.connected() as connection:
            others = connection.scalar(
                sa.text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
                    "AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
                )
            )
        if others:
            raise ServiceError(
                f"{others} connections to {self} are open: stop the tracking server, and whatever "
                "else reads or writes the database, first"
            )

    def dump(self, file: Path) -> Contents:
        with self.connected() as connection:
            snapshot = connection.scalar(sa.text("SELECT pg_export_snapshot()"))
            arguments = ["--format=custom", f"--snapshot={snapshot}", f"--file={file}"]
            with tempfile.TemporaryFile() as errors:
                dumping = self._start("pg_dump", *arguments, self._address(), errors=errors)
                contents = _contents(connection)  # of the same snapshot
                if dumping.wait():
                    raise ServiceError(f"pg_dump of {self} failed: {_text(errors)}")
        return contents

    @contextmanager
    def loading(self, file: Path) -> Iterator[Callable[[], None]]:
        with self.connected() as connection:
            quote = connection.dialect.identifier_preparer.quote
            owner = quote(
                connection.scalar(
                    sa.text(
                        "SELECT pg_get_userbyid(datdba) FROM pg_database "
                        "WHERE datname = current_database()"
                    )
                )
            )
        with tempfile.TemporaryFile() as errors:
            psql = self._start(
                "psql", "--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", self._address(),
                errors=errors, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            )  # fmt: skip
            assert psql.stdin is not None
            assert psql.stdout is not None

            def insist(statements: str, word: str) -> None:
                """Wait until all statements so far have succeeded."""
                assert psql.stdin is not None
                assert psql.stdout is not None
                with suppress(BrokenPipeError):  # psql ends at the first error
                    psql.stdin.write(f"{statements}\n\\echo {word}\n".encode())
                    psql.stdin.flush()
                if psql.stdout.readline() != f"{word}\n".encode():
                    raise BackupError(f"{file} cannot be loaded into {self}: {_text(errors)}")

            try:
                # The results of queries would be taken for the words.
                insist(f"\\o {os.devnull}\nBEGIN;\nSET LOCAL lock_timeout = '30s';", "begun")
                insist(f"{_EMPTY}SET LOCAL ROLE {owner};", "emptied")
                self._copy_script(file, psql.stdin, errors)
                insist("", "loaded")
                yield lambda: insist("COMMIT;", "committed")
            finally:
                psql.kill()  # without a commit, PostgreSQL undoes everything
                psql.communicate()

    def _copy_script(self, file: Path, psql: IO[bytes], errors: IO[bytes]) -> None:
        """Pass the statements of a dump to psql."""
        arguments = ["--no-owner", "--no-privileges", "--file=-", str(file)]
        script = self._start("pg_restore", *arguments, errors=errors, stdout=subprocess.PIPE)
        assert script.stdout is not None
        with script.stdout, suppress(BrokenPipeError):
            shutil.copyfileobj(script.stdout, psql)
        if script.wait() > 0:
            raise BackupError(f"{file} cannot be read by pg_restore: {_text(errors)}")

    @contextmanager
    def temporary(self, folder: Path) -> Iterator[Self]:  # noqa: ARG002 - it is on the server
        name = f"snn_sweep_{secrets.token_hex(8)}"
        with self.connected(autocommit=True) as connection:
            connection.execute(sa.text(f"CREATE DATABASE {name} TEMPLATE template0"))
        try:
            yield type(self)(self.url.set(database=name))
        finally:
            with self.connected(autocommit=True) as connection:
                connection.execute(sa.text(f"DROP DATABASE {name} WITH (FORCE)"))

    def _address(self) -> str:
        """The option with all of the URL but the password, which `ps` must not show."""
        from psycopg.conninfo import make_conninfo

        _, options = self.url.get_dialect()().create_connect_args(self.url)
        return f"--dbname={make_conninfo(**{**options, 'password': None})}"

    def _start(
        self,
        program: str,
        *arguments: str,
        errors: IO[bytes],
        stdin: int | None = None,
        stdout: int | None = None,
    ) -> subprocess.Popen[bytes]:
        password = {"PGPASSWORD": str(self.url.password)} if self.url.password else {}
        try:
            return subprocess.Popen(
                [program, *arguments],
                env=os.environ | password,
                stdin=stdin,
                stdout=stdout,
                stderr=errors,
            )
        except FileNotFoundError:
            raise ServiceError(
                f"The program {program} is missing. Install PostgreSQL's client programs, of the "
                "server's major version (Debian: apt install postgresql-client)"
            ) from None


def database_at(url: str) -> Database:
    """The database of a URL that `services.settings.database_url` has checked."""
    parsed = sa.make_url(url)
    is_file = parsed.get_backend_name() == "sqlite"
    return SqliteDatabase(parsed) if is_file else PostgresDatabase(parsed)


def _contents(connection: sa.Connection) -> Contents:
    names = sorted(sa.inspect(connection).get_table_names())
    count = sa.select(sa.func.count())
    rows = {name: connection.scalar(count.select_from(sa.table(name))) or 0 for name in names}
    revision = ""
    for name in set(_VERSION_TABLES) & set(names):
        revision = str(connection.scalar(sa.text(f"SELECT version_num FROM {name}")) or "")
    total = 0  # of the rows' hashes, whatever their order
    if "latest_metrics" in names:
        # In pieces, as there may be millions of them.
        metrics = connection.execute(
            sa.text(_FINISHED_METRICS), execution_options={"yield_per": 10_000}
        )
        for run, key, value, step, is_nan in metrics:
            line = f"{run} {key} {value!r} {step} {bool(is_nan)}"
            total += int.from_bytes(hashlib.sha256(line.encode()).digest())
    return Contents(revision, rows, f"{total % 2**256:064x}")


def _text(errors: IO[bytes]) -> str:
    """What a program has written to its standard error, in one line."""
    errors.seek(0)
    return " ".join(errors.read().decode(errors="replace").split())[-1000:]
