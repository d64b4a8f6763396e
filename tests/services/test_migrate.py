"""MLflow's databases of earlier versions brought to this one's, on a real Postgres."""

from __future__ import annotations

import os
import subprocess
import sys
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import alembic.command
import pytest
import sqlalchemy as sa

from orchestration.reading.sql_schema import KNOWN_SCHEMAS
from services.migrate import READ_TABLES

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it warns of an outdated loader option
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore as Users
    from mlflow.store.db.utils import _get_alembic_config
    from mlflow.store.tracking.dbmodels.initial_models import Base as FirstTables

EARLIER = {"MLflow 2.3": "3500859a5d39", "MLflow 3.10": "1b5f0d9ad7c1"}
"""The versions of the schema that these had."""

RECORDED: Mapping[str, Mapping[str, Any]] = {
    "experiments": {"experiment_id": 7, "name": "digits", "lifecycle_stage": "active"},
    "runs": {
        "run_uuid": "a" * 32,
        "experiment_id": 7,
        "status": "FINISHED",
        "lifecycle_stage": "active",
    },
    "params": {"run_uuid": "a" * 32, "key": "norm", "value": "bntt"},
    "metrics": {
        "run_uuid": "a" * 32,
        "key": "test_accuracy",
        "value": 0.1 + 0.2,
        "timestamp": 1,
        "step": 3,
        "is_nan": False,
    },
    "tags": {"run_uuid": "a" * 32, "key": "snn_sweep.role", "value": "trial"},
}


@dataclass
class Databases:
    """MLflow's two, and a role that is to read the first."""

    tracking: sa.URL
    users: sa.URL

    def ask(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        """Rows of the tracking database."""
        with sa.create_engine(self.tracking, poolclass=sa.NullPool).begin() as connection:
            result = connection.execute(sa.text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def migrate(self, admin: str, sweeps: str) -> None:
        """Run it as the container does."""
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "MLFLOW_BACKEND_STORE_URI": self.tracking.render_as_string(hide_password=False),
            "MLFLOW_AUTH_DATABASE_URI": self.users.render_as_string(hide_password=False),
            "MLFLOW_AUTH_ADMIN_PASSWORD": admin,
            "MLFLOW_TRACKING_USERNAME": "sweeps",
            "MLFLOW_TRACKING_PASSWORD": sweeps,
            "READER_ROLE": "migrated_reader",
        }
        done = subprocess.run(
            [sys.executable, "-m", "services.migrate"],
            env=environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert admin not in done.stdout + done.stderr
        assert sweeps not in done.stdout + done.stderr


@pytest.fixture
def databases(postgres_server: str) -> Iterator[Databases]:
    """Two new ones."""
    url = sa.make_url(postgres_server)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    names = ("migrated", "migrated_users")

    def drop(connection: sa.Connection) -> None:
        for name in names:
            connection.execute(sa.text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        connection.execute(sa.text("DROP ROLE IF EXISTS migrated_reader"))

    with engine.connect() as connection:
        drop(connection)
        connection.execute(sa.text("CREATE ROLE migrated_reader"))
        for name in names:
            connection.execute(sa.text(f"CREATE DATABASE {name}"))
        yield Databases(*(url.set(database=name) for name in names))
        drop(connection)


def fill(databases: Databases, revision: str) -> None:
    """The tables of an earlier MLflow, and a run in them."""
    engine = sa.create_engine(databases.tracking, poolclass=sa.NullPool)
    FirstTables.metadata.create_all(engine)
    config = _get_alembic_config(databases.tracking.render_as_string(hide_password=False))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        alembic.command.upgrade(config, revision)
    for table, row in RECORDED.items():
        names = ", ".join(row)
        values = ", ".join(f":{name}" for name in row)
        databases.ask(f"INSERT INTO {table} ({names}) VALUES ({values})", **row)
    assert databases.ask("SELECT version_num FROM alembic_version") == [(revision,)]


@pytest.mark.slow
@pytest.mark.parametrize("revision", EARLIER.values(), ids=EARLIER)
def test_an_earlier_mlflows_tables_are_brought_up_with_all_that_is_in_them(
    databases: Databases, revision: str
) -> None:
    fill(databases, revision)
    databases.migrate("admin's password", "sweeps' password")
    ((version,),) = databases.ask("SELECT version_num FROM alembic_version")
    assert version != revision
    assert version in KNOWN_SCHEMAS, "answers would be read over REST, more slowly"
    for table, row in RECORDED.items():
        assert databases.ask(f"SELECT {', '.join(row)} FROM {table}") == [tuple(row.values())]


@pytest.mark.slow
def test_run_again_it_sets_rights_and_passwords_right(databases: Databases) -> None:
    def known(name: str, password: str) -> bool:
        return bool(users.authenticate_user(name, password))

    databases.migrate("admin's password", "sweeps' password")
    databases.ask("GRANT SELECT ON registered_models TO migrated_reader")  # by an earlier version
    users = Users()
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # of Alembic's
        users.init_db(databases.users.render_as_string(hide_password=False))
    try:
        assert known("admin", "admin's password")
        assert known("sweeps", "sweeps' password")
        users.create_user("alice", "alice's password")
        databases.migrate("another password", "sweeps' password")
        assert known("admin", "another password")
        assert not known("admin", "admin's password")
        assert known("sweeps", "sweeps' password")
        assert known("alice", "alice's password")
        admins = {user.username: user.is_admin for user in users.list_users()}
        assert admins == {"admin": True, "sweeps": False, "alice": False}
    finally:
        users.engine.dispose()
    granted = databases.ask(
        "SELECT table_name, privilege_type FROM information_schema.role_table_grants "
        "WHERE grantee = 'migrated_reader'"
    )
    assert sorted(granted) == sorted((table, "SELECT") for table in READ_TABLES)
