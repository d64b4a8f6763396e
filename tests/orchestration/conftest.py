"""Databases that MLflow made, on SQLite and on a real Postgres, for tests of what reads them.

And a module of a user's.
"""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from chromium import chromium
from playwright.sync_api import Browser
from s3_server import BUCKET, s3_server

from orchestration.store.base import Storage
from orchestration.store.open import open_storage
from services.settings import Settings
from services.tracking import tracking_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of an outdated loader option
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

DatabaseMaker = Callable[[], str]

_numbers = itertools.count()


@sa.event.listens_for(sa.Engine, "connect")
def _without_waiting_for_the_disk(connection: Any, _record: object) -> None:
    """A commit waits 5 to 10 ms for the disk, and no database of a test outlives it."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


class PostgresDatabases:
    """MLflow databases on one Postgres, emptied and lent again: quicker than new ones."""

    def __init__(self, server: str, artifacts: str) -> None:
        self._url, self._artifacts = sa.make_url(server), artifacts
        self._free: list[str] = []
        self._lent: list[str] = []

    def lend(self) -> str:
        """Give the URL of an empty one."""
        if not self._free:
            name = f"mlflow{next(_numbers)}"
            self._execute(self._url, f"CREATE DATABASE {name}")
            url = self._url.set(database=name).render_as_string(hide_password=False)
            SqlAlchemyStore(url, self._artifacts).engine.dispose()
            self._free.append(url)
        self._lent.append(self._free.pop())
        return self._lent[-1]

    def take_back(self) -> None:
        """Empty those that are lent. A test that changes the schema must put it right again."""
        for url in self._lent:
            tables = self._execute(
                sa.make_url(url),
                "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables "
                "WHERE schemaname = 'public' AND tablename <> 'alembic_version'",
            )
            self._execute(sa.make_url(url), f"TRUNCATE {tables} CASCADE")
        self._free += self._lent
        self._lent = []

    def _execute(self, url: sa.URL, statement: str) -> str | None:
        engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
        with engine.connect() as connection:
            result = connection.execute(sa.text(statement))
            return result.scalar() if result.returns_rows else None


@pytest.fixture(scope="session")
def _postgres_databases(
    postgres_server: str, tmp_path_factory: pytest.TempPathFactory
) -> PostgresDatabases:
    return PostgresDatabases(postgres_server, tmp_path_factory.mktemp("artifacts").as_uri())


@pytest.fixture
def postgres_database(_postgres_databases: PostgresDatabases) -> Iterator[DatabaseMaker]:
    """Makes empty MLflow databases on Postgres, each for one test."""
    yield _postgres_databases.lend
    _postgres_databases.take_back()


@pytest.fixture(scope="session")
def sqlite_database(tmp_path_factory: pytest.TempPathFactory) -> DatabaseMaker:
    """Makes empty MLflow databases on SQLite: copies of one that MLflow made."""
    folder = tmp_path_factory.mktemp("with a space and é")
    SqlAlchemyStore(f"sqlite:///{folder / 'pattern.db'}", folder.as_uri()).engine.dispose()

    def make() -> str:
        path = folder / f"mlflow{next(_numbers)}.db"
        shutil.copy(folder / "pattern.db", path)
        return f"sqlite:///{path}"

    return make


@pytest.fixture(scope="session")
def tracking_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the tracking server that all tests share, beside the folders of each process."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "tracking"


@pytest.fixture(scope="session")
def tracking_uri(tracking_home: Path) -> Iterator[str]:
    """A real tracking server on SQLite, one for all tests: each takes a name of its own."""
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tracking_home)})
    with tracking_server(settings) as uri:
        yield uri


@pytest.fixture(scope="session")
def s3() -> Iterator[Mapping[str, str]]:
    """A server of S3 that this process uses, and what others need in their environment to do so."""
    with s3_server() as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture(params=["folder", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    """An empty folder of a checkpoint store, of each kind."""
    if request.param == "folder":
        return open_storage(str(tmp_path / "store")).folder("a sweep é")
    request.getfixturevalue("s3")
    return open_storage(f"s3://{BUCKET}/{next(_numbers)}/").folder("a sweep é")


@pytest.fixture
def users_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module ``users_module`` of a user's."""
    (tmp_path / "users_module.py").write_text(
        "def norm(num_features): ...\n"
        "def temporal_norm(num_features, num_steps): ...\n"
        "def network(*, norm, in_channels, num_classes, image_size, width=8): ...\n"
        "def data(root): ...\n"
        "thing = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "users_module", raising=False)
    return tmp_path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """For a whole file."""
    with chromium() as one:
        yield one
