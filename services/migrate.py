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


def main() -> None:
    """Migrate the tables of tracking and of MLflow's users, and set rights and passwords.

    If ``MLFLOW_AUTH_DATABASE_URI`` names a database of users, the passwords of the environment are
    set for ``admin`` and for ``MLFLOW_TRACKING_USERNAME``, as whom sweeps write.
    """
    database = os.environ["MLFLOW_BACKEND_STORE_URI"]
    _run("mlflow", "db", "upgrade", database)
    grant_reading(database, os.environ.get("READER_ROLE", "reader"))
    if users := os.environ.get("MLFLOW_AUTH_DATABASE_URI"):
        from services.users import ADMIN, set_password

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


def _run(module: str, *arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", module, *arguments], check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


if __name__ == "__main__":
    main()
