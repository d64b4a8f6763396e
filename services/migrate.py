"""Brings MLflow's tables to this MLflow's version, and sets who may do what with them.

    python -m services.migrate      # MLFLOW_BACKEND_STORE_URI names the database

Run to its end before any MLflow server is started: two servers that migrate at once collide.
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
"""The tables that answers are read from; MLflow has many more."""


def main() -> None:
    """Migrate the tracking tables and let the reading role see them; likewise MLflow's own users.

    Of those, ``MLFLOW_AUTH_DATABASE_URI`` names the database: ``admin`` and the user that sweeps
    write as, ``MLFLOW_TRACKING_USERNAME``, get the passwords of the environment.
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
