"""What a server records, small: a few of MLflow's tables, made in no time, and an artifact."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from services.backup import ServerRecord

REVISION = "dc11669786a5"
"""A version of MLflow's schema."""

ODD = "naïve\nname\\ of a file"
"""The name of an artifact."""

_STATEMENTS = (
    "CREATE TABLE alembic_version (version_num VARCHAR(32))",
    f"INSERT INTO alembic_version VALUES ('{REVISION}')",
    "CREATE TABLE experiments (experiment_id INTEGER PRIMARY KEY, name VARCHAR(256))",
    "INSERT INTO experiments VALUES (1, 'digits'), (2, 'empty')",
    "CREATE TABLE runs "
    "(run_uuid VARCHAR(32) PRIMARY KEY, experiment_id INTEGER, status VARCHAR(9), name TEXT)",
    "INSERT INTO runs VALUES ('a', 1, 'FINISHED', ''), ('b', 1, 'RUNNING', '')",
    "CREATE TABLE latest_metrics (run_uuid VARCHAR(32) REFERENCES runs, key VARCHAR(250), "
    "value FLOAT, step BIGINT, is_nan BOOLEAN)",
    f"INSERT INTO latest_metrics VALUES ('a', 'accuracy', {0.1 + 0.2!r}, 2, false)",
)


def fill(url: str) -> str:
    """Make the tables in an empty database; gives its URL."""
    execute(url, *_STATEMENTS)
    return url


def execute(url: str, *statements: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(sa.text(statement))


def small_server(folder: Path) -> ServerRecord:
    """The record, in a new folder, of a server with a login, on SQLite."""
    record = record_in(folder)
    artifacts = Path(record.artifacts)
    (artifacts / "1" / "a").mkdir(parents=True)
    (artifacts / "1" / "a" / ODD).write_text("a table")
    fill(record.database)
    execute(record.users or "", "CREATE TABLE users (name TEXT)", "INSERT INTO users VALUES ('é')")
    return record


def record_in(folder: Path) -> ServerRecord:
    """An empty record in a new folder."""
    folder.mkdir()
    return ServerRecord(
        database=f"sqlite:///{folder}/mlflow.db",
        users=f"sqlite:///{folder}/auth.db",
        artifacts=str(folder / "artifacts"),
    )


def files_in(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
