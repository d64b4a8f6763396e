"""The tracking server with the pages of sweeps, as MLflow's complete app.

Apart from the pages, only the answer to an artifact that cannot be written differs from MLflow's.

MLflow loads it by the name of an entry point of the group ``mlflow.app``:

    mlflow server --app-name snn-sweep                   MLflow, without a login
    mlflow server --app-name snn-sweep-with-basic-auth   MLflow's own basic-auth

Allowed hosts, security headers and the login are MLflow's, for its pages and for these.
"""

from __future__ import annotations

import os
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestration.reading.records import Source

# MLflow's first process imports this file only to learn that these are functions.


def create_app() -> Any:
    """MLflow's app with the pages."""
    from mlflow.server.fastapi_app import app

    return _with_pages(app, has_login=False)


def create_app_with_basic_auth() -> Any:
    """MLflow's app with its login, and the pages behind it."""
    from mlflow.server.auth import create_app as create_mlflow_app

    return _with_pages(create_mlflow_app(), has_login=True)


def _with_pages(app: Any, *, has_login: bool) -> Any:
    from fastapi import FastAPI
    from mlflow.server.handlers import STATIC_PREFIX_ENV_VAR
    from starlette.routing import Mount, Route
    from starlette.staticfiles import StaticFiles

    from orchestration.page.acting import OnCluster, OnThisMachine
    from orchestration.page.apart import Process
    from orchestration.page.artifact_errors import ArtifactErrors
    from orchestration.page.visitor.login import InnerMlflow, Login
    from orchestration.page.web import Pages
    from services.settings import Settings

    if not isinstance(app, FastAPI):
        raise RuntimeError(
            "the pages of sweeps need MLflow's usual server, uvicorn: leave out --gunicorn-opts "
            "and --waitress-opts, or --app-name"
        )
    base = os.environ.get(STATIC_PREFIX_ENV_VAR, "").rstrip("/")
    mlflow = InnerMlflow(app)
    login = Login(mlflow if has_login else None)
    # MLflow sets it to its own store, which is no address.
    environment = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
    settings = Settings.from_environment(environment)
    cluster = os.environ.get("RAY_API_SERVER_ADDRESS")
    actor = OnCluster(cluster) if cluster else OnThisMachine(settings)
    pages = Pages(Process(_open_store, settings, actor, base), login, mlflow, base)
    static = StaticFiles(directory=str(files("orchestration.page") / "static"))
    app.add_middleware(ArtifactErrors)
    # First, since MLflow's own pages take every address that is left.
    app.router.routes[:0] = [
        Route(f"{base}/sweeps", pages),
        Mount(f"{base}/sweeps", app=pages),
        Mount(f"{base}/sweeps-files", app=static),
    ]
    return app


def _open_store() -> Source:
    """MLflow's database, read-only; by MLflow's own store where its tables are not known."""
    from mlflow.server.constants import BACKEND_STORE_URI_ENV_VAR

    from orchestration.reading.rest import RestSource
    from orchestration.reading.sql import SqlSource
    from orchestration.reading.sql_schema import UnknownSchemaError
    from services.settings import SettingsError

    uri = os.environ[BACKEND_STORE_URI_ENV_VAR]
    try:
        return SqlSource(_absolute(uri))
    except (UnknownSchemaError, SettingsError):
        return RestSource(uri)


def _absolute(uri: str) -> str:
    """SQLite's path as it is from anywhere."""
    from pathlib import Path

    import sqlalchemy as sa

    url = sa.make_url(uri)
    if url.get_backend_name() == "sqlite" and url.database:
        url = url.set(database=str(Path(url.database).absolute()))
    return url.render_as_string(hide_password=False)
