"""Migrates MLflow's tables to this version of MLflow, and sets the rights of their users.

    python -m services.migrate      # MLFLOW_BACKEND_STORE_URI names the database

This must end before any MLflow server is started, as two servers that migrate at once collide.
"""

from __future__ import annotations

import os
import subprocess
import sys

import sqlalchemy as sa

READ_TABLES = (
    "alembic_version",
    "experiments",
    "latest_metrics",
    "metrics",
    "params",
    "runs",
    "tags",
)
"""The tables from which results are read; MLflow has many more."""


ADMIN = "admin"
"""The user of MLflow's own that may do everything."""


def main() -> None:
    """Migrate the tables of tracking and of MLflow's users, and set rights and passwords.

    If ``MLFLOW_AUTH_DATABASE_URI`` names a database of users (of a server with
    ``snn-sweep-with-basic-auth``), the passwords of the environment are set for ``admin``, who
    creates further users, and for ``MLFLOW_TRACKING_USERNAME``, as whom Ray's nodes write. That is
    another user, because a trial's code can read their memory. It owns the sweeps that it creates,
    and can read all others.
    """
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]
    _run("mlflow", "db", "upgrade", database)
    grant_reading(database, os.environ.get("READER_ROLE", "reader"))
    if users := os.environ.get("MLFLOW_AUTH_DATABASE_URI"):
        _run("mlflow.server.auth", "db", "upgrade", "--url", users)
        set_password(users, ADMIN, os.environ["MLFLOW_AUTH_ADMIN_PASSWORD"])
        name = os.environ["MLFLOW_TRACKING_USERNAME"]
        set_password(users, name, os.environ["MLFLOW_TRACKING_PASSWORD"])


def grant_reading(database: str, role: str) -> None:
    """Let a role read :data:`READ_TABLES`, and nothing else of the schema."""
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    quote = engine.dialect.identifier_preparer.quote
    with engine.begin() as connection:
        connection.execute(sa.text(f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {quote(role)}"))
        connection.execute(
            sa.text(f"GRANT SELECT ON {', '.join(map(quote, READ_TABLES))} TO {quote(role)}")
        )


def set_password(database: str, name: str, password: str) -> None:
    """Create a user of MLflow's own, or change the password of an existing one.

    Args:
        database: the URL of the database of MLflow's users, whose tables are up to date.
        name: the user's name; :data:`ADMIN` may do everything.
        password: at least 12 characters.

    Raises:
        MlflowException: the password is too short.
    """
    from mlflow.server.auth.sqlalchemy_store import SqlAlchemyStore  # only such servers need it

    store = SqlAlchemyStore()
    store.init_db(database)
    try:
        if not store.has_user(name):
            store.create_user(name, password, is_admin=name == ADMIN)
        elif not store.authenticate_user(name, password):
            store.update_user(name, password)
    finally:
        store.engine.dispose()


def _run(module: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
