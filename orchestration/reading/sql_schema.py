"""The tables of MLflow's database that this project reads, and a connection that cannot write.

MLflow does not guarantee this schema, so only versions that were checked are read.
"""

from __future__ import annotations

import sqlite3
import urllib.parse
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from services.errors import ServiceError
from services.settings import database_url

KNOWN_SCHEMAS = frozenset([
    "1b5f0d9ad7c1", "e1f2a3b4c5d6", "76601a5f987d", "c3d6457b6d8a", "a5b4c3d2e1f0", "ae8bbe7743c9",
    "7d34483879f0", "da6fb0208061", "89d3d66ed43f", "b7e4c1a90f23", "a8b9c0d1e2f3", "c1d2e3f4a5b6",
    "c3d9e7f1a2b4", "6f8d9c3b2a1e", "1971f2d9a75b", "17e22815139b", "b7e2c1a4d9f3", "75868b020152",
    "dc11669786a5",
])  # fmt: skip
"""Schema versions of MLflow 3.10 to 3.17, which were checked to have the tables below."""


def _table(name: str, /, **columns: Any) -> sa.Table:
    return sa.Table(name, sa.MetaData(), *(sa.Column(*column) for column in columns.items()))


_KEY = {"run_uuid": sa.String, "key": sa.String}
_NUMBER = {**_KEY, "value": sa.Float, "is_nan": sa.Boolean}

EXPERIMENTS = _table(
    "experiments",
    experiment_id=sa.Integer, name=sa.String, lifecycle_stage=sa.String, workspace=sa.String,
)  # fmt: skip
RUNS = _table(
    "runs",
    run_uuid=sa.String, status=sa.String, start_time=sa.BigInteger, end_time=sa.BigInteger,
    lifecycle_stage=sa.String, experiment_id=sa.Integer, artifact_uri=sa.String,
)  # fmt: skip
PARAMS = _table("params", **_KEY, value=sa.String)
TAGS = _table("tags", **_KEY, value=sa.String)
_POINT = {**_NUMBER, "step": sa.BigInteger, "timestamp": sa.BigInteger}
LATEST_METRICS = _table("latest_metrics", **_POINT)
METRICS = _table("metrics", **_POINT)
VERSION = _table("alembic_version", version_num=sa.String)


class UnknownSchemaError(Exception):
    """The database is not MLflow's, or of a version that this module does not know."""


def open_read_only(given: str) -> sa.Engine:
    """Open SQLite or Postgres so that nothing can be written; a transaction reads one snapshot.

    Raises:
        SettingsError: it is not a URL, or names another kind of database.
        ServiceError: there is no such SQLite file.
    """
    url = sa.make_url(database_url(given, "SNN_SWEEP_DATABASE_URL"))
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(
            url,
            poolclass=sa.NullPool,
            isolation_level="REPEATABLE READ",
            execution_options={"postgresql_readonly": True},
        )
    path = Path(str(url.database))
    if not path.is_file():
        raise ServiceError(
            f"There is no database {str(path)!r} (SNN_SWEEP_DATABASE_URL). Name the file that the "
            "tracking server writes, or unset it: answers then go over MLflow's REST API"
        )
    address = "file:" + urllib.parse.quote(str(path)) + "?mode=ro"
    engine = sa.create_engine(
        "sqlite://",
        poolclass=sa.NullPool,
        creator=lambda: sqlite3.connect(address, uri=True, isolation_level=None),
    )
    # Without this the driver opens no transaction for reading, and statements see no snapshot.
    sa.event.listen(engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    return engine
