"""Finds, starts and stops the MLflow tracking server.

    with tracking_server(settings) as uri:   # a sweep: the server runs as long as the sweep
    start_server(settings)                   # `up`: the server stays
    stop_server(settings)                    # `down`
    find_server(settings), reading_uri(settings), home_database(settings)   # create nothing

A server that the user names (MLFLOW_TRACKING_URI) is used and never stopped. Otherwise each home
has one server, even if several commands run at once: they check and act under a lock of the home
(``server.lock``), and each sweep holds a shared lock (``users.lock``). The last sweep to end stops
the server, unless somebody asked to keep it. The kernel releases the locks of a killed process.
"""

from __future__ import annotations

import fcntl
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TextIO
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

import stamina

from services import server
from services.errors import ServiceError
from services.settings import Settings, SettingsError, without_password
from services.settings import database_url as checked_database_url


@contextmanager
def prepared_server(settings: Settings) -> Iterator[server.Prepared | None]:
    """Import MLflow in a process that `tracking_server` can make a server; None if one is there.

    It saves seconds if other imports or checks come first. If it is not used, it ends with the
    block, and has created nothing.
    """
    if settings.tracking_uri is not None or server.load(_folder(settings)) is not None:
        yield None
        return
    prepared = server.prepare()
    try:
        yield prepared
    finally:
        server.dismiss(prepared)


@contextmanager
def tracking_server(settings: Settings, prepared: server.Prepared | None = None) -> Iterator[str]:
    """Provide a tracking server for as long as the block lasts; yields its URI.

    A server that the user names is only checked. Otherwise the home's server is used. If it is not
    running, it is started, and stopped when its last user ends, unless `start_server` keeps it.

    Args:
        settings: the home, or the URI of the user's server.
        prepared: from `prepared_server`.

    Raises:
        ServiceError: the server cannot be reached or started.
        SettingsError: the home is not writable.
    """
    if settings.tracking_uri is not None:
        check_reachable(settings.tracking_uri)
        yield settings.tracking_uri
        return
    folder = _create(_folder(settings))
    with (folder / "users.lock").open("a") as users:
        with _locked(folder):
            running = _running(folder) or _launch(
                folder, server.DEFAULT_DATABASE, kept=False, prepared=prepared
            )
            fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield running.uri
        finally:
            with _locked(folder):
                last = server.load(folder)
                if last is not None and not last.kept and _is_alone(users):
                    server.stop(folder, last)


def start_server(settings: Settings, database_url: str | None = None) -> str:
    """Start the home's server if it is not running, and keep it until `stop_server`.

    Args:
        settings: only the home is used.
        database_url: a PostgreSQL or SQLite URL, which is neither stored nor shown; None is SQLite
            in the home, or the database of the running server.

    Returns:
        The server's URI.

    Raises:
        ServiceError: it cannot be started, or it runs on another database.
        SettingsError: another kind of database, or the home is not writable.
    """
    database = server.DEFAULT_DATABASE
    if database_url is not None:
        database = checked_database_url(database_url, "--database")
        _check_database(database)
    folder = _create(_folder(settings))
    with _locked(folder):
        running = _running(folder)
        if running is None:
            return _launch(folder, database, kept=True).uri
        if database_url is not None and not running.serves(database):
            raise ServiceError(
                f"The tracking server at {running.uri} runs on another database than "
                f"{without_password(database)}. Stop it first: snn-sweep down"
            )
        server.save(folder, replace(running, kept=True))
        return running.uri


def stop_server(settings: Settings) -> bool:
    """Stop the home's server, even if it is in use; returns whether it was running."""
    folder = _folder(settings)
    if not folder.is_dir():
        return False
    with _locked(folder):
        recorded = server.load(folder)
        return recorded is not None and server.stop(folder, recorded)


def find_server(settings: Settings) -> str | None:
    """The URI of the home's server if it runs and answers. Creates nothing."""
    folder = _folder(settings)
    if not folder.is_dir():
        return None
    with _locked(folder):
        running = _running(folder)
        return running.uri if running is not None else None


def reading_uri(settings: Settings) -> str | None:
    """The URI from which runs are read; None if there are none. Creates nothing.

    It is that of the user's server, the home's running server, or the home's database file.

    Raises:
        ServiceError: the user's server cannot be reached.
    """
    if settings.tracking_uri is not None:
        check_reachable(settings.tracking_uri)
        return settings.tracking_uri
    uri = find_server(settings)
    file = _folder(settings) / "mlflow.db"
    return _sqlite_url(file) if uri is None and file.exists() else uri


def home_database(settings: Settings) -> str | None:
    """The database file of the home's server, as SQL is faster than REST.

    None if that server has another database, or if the user names a server.
    """
    recorded = None if settings.tracking_uri is not None else server.load(_folder(settings))
    if recorded is None or not recorded.serves(server.DEFAULT_DATABASE):
        return None
    return _sqlite_url(_folder(settings) / "mlflow.db")


@contextmanager
def without_server(settings: Settings) -> Iterator[None]:
    """Keep the home's server from starting for the context.

    Raises:
        ServiceError: it runs.
    """
    folder = _folder(settings)
    if not folder.is_dir():
        yield
        return
    with _locked(folder):
        if running := _running(folder):
            raise ServiceError(
                f"The tracking server at {running.uri} is running: stop it first, with snn-sweep "
                "down, or snn-sweep stop for a sweep that uses it"
            )
        yield


def home_files(settings: Settings) -> tuple[str, Path]:
    """The URL of the database file of the home's server, and the folder of its artifacts.

    Raises:
        SettingsError: the running server has another database, or the user names a server.
    """
    folder = _folder(settings)
    recorded = server.load(folder)
    if settings.tracking_uri is not None:
        problem = "MLFLOW_TRACKING_URI names a server whose files are not known here"
    elif recorded is not None and not recorded.serves(server.DEFAULT_DATABASE):
        problem = "the tracking server of this machine has another database than its own file"
    else:
        return _sqlite_url(folder / "mlflow.db"), folder / "artifacts"
    raise SettingsError(f"{problem}: name its database with --database, and --artifacts")


def _sqlite_url(file: Path) -> str:
    import sqlalchemy

    return sqlalchemy.URL.create("sqlite", database=str(file)).render_as_string()


def _running(folder: Path) -> server.Server | None:
    """The server if it runs and answers. Call it under the lock."""
    recorded = server.load(folder)
    # On a busy machine it may be slow to answer, so it gets three requests.
    if recorded and any(bool(recorded.living()) and recorded.answers() for _ in range(3)):
        _reach_loopback_directly()
        return recorded
    return None


def _launch(
    folder: Path, database: str, *, kept: bool, prepared: server.Prepared | None = None
) -> server.Server:
    """Start a server, on the last one's port if it is free, so that writers find it again."""
    dead = server.load(folder)
    if dead is not None:
        server.stop(folder, dead)
    _reach_loopback_directly()
    port = server.last_port(folder)
    return server.launch(folder, database, kept=kept, port=port, prepared=prepared)


def _is_alone(users: TextIO) -> bool:
    """Whether no other process or block holds the users' lock."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    with (folder / "server.lock").open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _folder(settings: Settings) -> Path:
    return settings.home / "tracking"


def _create(folder: Path) -> Path:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "server.lock").touch()
    except OSError as error:
        raise SettingsError(
            f"SNN_SWEEP_HOME cannot be written: {error.strerror}: {str(folder)!r}. Set it to a "
            "folder that you own."
        ) from None
    return folder


@stamina.retry(on=ServiceError, attempts=3, wait_initial=1.0, wait_jitter=0.0)
def check_reachable(uri: str) -> None:
    """Check that the user's server answers, even if only to ask for a login.

    Raises:
        ServiceError: it does not answer, or answers with a server error.
    """
    parts = urlsplit(uri)
    if parts.hostname in ("localhost", "127.0.0.1"):
        _reach_loopback_directly()
    if problem := _problem_with(uri):
        raise ServiceError(
            f"No tracking server at {without_password(uri)} (MLFLOW_TRACKING_URI): {problem}. "
            "Check that it runs and can be reached from here, or unset MLFLOW_TRACKING_URI to "
            "have one started on this machine."
        )


def has_pages(uri: str) -> bool:
    """Whether a tracking server has the pages of sweeps as well as MLflow's."""
    import requests

    # Their style sheet needs no login.
    with warnings.catch_warnings(action="ignore"), suppress(requests.RequestException):
        url = f"{uri}/sweeps-files/sweeps.css"
        return requests.get(url, timeout=10.0, verify=_trusted()).ok
    return False


def page_text(uri: str, path: str) -> bytes | None:
    """A page of a tracking server, such as ``sweeps?format=json``.

    None if the URI is a database's, or if the server does not answer with this page.
    """
    import requests

    if not uri.startswith(("http://", "https://")):
        return None
    user, token = (os.environ.get(f"MLFLOW_TRACKING_{name}") for name in ("USERNAME", "TOKEN"))
    auth = (user, os.environ.get("MLFLOW_TRACKING_PASSWORD", "")) if user else None
    headers = {"Authorization": f"Bearer {token}"} if token and not user else None
    with warnings.catch_warnings(action="ignore"), suppress(requests.RequestException):
        answer = requests.get(
            f"{uri}/{path}", timeout=(10.0, 600.0), verify=_trusted(), auth=auth, headers=headers
        )
        return answer.content if answer.ok else None
    return None


def _problem_with(uri: str) -> str | None:
    """Why MLflow cannot reach the server, tried with MLflow's HTTP library and settings."""
    import requests

    try:
        with warnings.catch_warnings(action="ignore"):  # the user may have turned off TLS checks
            answer = requests.get(
                f"{uri}/health", timeout=3.0, allow_redirects=False, verify=_trusted()
            )
    except requests.Timeout:
        return "no answer within 3 s"
    except requests.exceptions.SSLError:
        return "its certificate is not trusted (MLFLOW_TRACKING_SERVER_CERT_PATH names another)"
    except (requests.RequestException, OSError):  # an OSError if the certificate's file is missing
        return "connection refused, or no such host"
    return f"it answers {answer.status_code}" if answer.status_code >= 500 else None


def _trusted() -> str | bool:
    """The setting with which MLflow's client checks certificates."""
    untrusted = os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("true", "1")
    return os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH") or not untrusted


def _check_database(url: str) -> None:
    """Open the database once, as MLflow would retry a wrong one for many minutes.

    A SQLite file that does not exist is not created here.
    """
    import sqlalchemy

    is_file = url.startswith("sqlite")
    engine = sqlalchemy.create_engine(url, connect_args={} if is_file else {"connect_timeout": 10})
    try:
        if is_file and Path(engine.url.database or "").parent.is_dir():
            if Path(engine.url.database or "").exists():
                with engine.connect() as connection:
                    connection.execute(sqlalchemy.text("PRAGMA schema_version"))
            return
        engine.connect().close()
    except sqlalchemy.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or type(error).__name__).strip()
        raise ServiceError(
            f"The database {without_password(url)} cannot be reached: "
            f"{server.without_secrets(reason, url)}. Check that it runs, and its host, port, "
            "name, user and password."
        ) from None
    finally:
        engine.dispose()


def _reach_loopback_directly() -> None:
    """Exclude loopback from the environment's proxies, for this process and its children.

    MLflow's client would otherwise use the proxy for 127.0.0.1.
    """
    proxies = getproxies_environment()
    excepted = proxies.pop("no", "")
    hosts = [host.strip() for host in excepted.split(",") if host.strip()]
    missing = [host for host in ("127.0.0.1", "localhost") if host not in hosts]
    if proxies and missing and "*" not in hosts:
        os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join([*hosts, *missing])
