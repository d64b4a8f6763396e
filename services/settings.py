"""Reads every environment variable of the project.

    SettingsError(ValueError)   a variable has an invalid value; nothing was created

An empty variable counts as unset. No message and no ``repr`` shows a password of a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

DEFAULT_ARCHIVE_MB = 100
"""In megabytes; the archive of a thousand trials with diagnostics holds about 15 to 35."""

_LOGIN = ("MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


class SettingsError(ValueError):
    """A value is invalid; the message names it, what is valid, and what to do."""


@dataclass(frozen=True)
class Settings:
    """Folders of this machine, addresses of services, and limits.

    Attributes:
        home: the folder of everything that is written on this machine (``SNN_SWEEP_HOME``).
        tracking_uri: the user's tracking server (``MLFLOW_TRACKING_URI``), http or https.
        database_url: MLflow's database for reading (``SNN_SWEEP_DATABASE_URL``), for SQLAlchemy.
        storage: checkpoints and spools (``SNN_SWEEP_STORAGE``): an absolute folder or ``s3://…``.
        data: the folder of data sets (``SNN_SWEEP_DATA``).
        ray_address: a running Ray cluster (``RAY_ADDRESS``); None starts one on this machine.
        archive_mb: the most megabytes of an unpacked archive (``SNN_SWEEP_ARCHIVE_MB``).
        login: the user's name and password on the tracking server, or a token, as the variables
            of MLflow's client (``MLFLOW_TRACKING_…``); empty if they are not complete.
        limits: the file with the limits of each user (``SNN_SWEEP_LIMITS``); None is no limits.
        notify: Apprise's addresses of those to notify of a sweep's end (``SNN_SWEEP_NOTIFY``).
    """

    home: Path
    tracking_uri: str | None
    database_url: str | None
    storage: str
    data: Path
    ray_address: str | None
    archive_mb: int = DEFAULT_ARCHIVE_MB
    notify: tuple[str, ...] = field(default=(), repr=False)
    login: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limits: Path | None = None

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; None reads this process's environment.

        Raises:
            SettingsError: a variable has an invalid value.
        """
        environ = os.environ if environ is None else environ
        home = _folder(environ, "SNN_SWEEP_HOME", Path("~/.snn-sweep"))
        tracking = environ.get("MLFLOW_TRACKING_URI")
        database = environ.get("SNN_SWEEP_DATABASE_URL")
        ray = environ.get("RAY_ADDRESS")
        return cls(
            home=home,
            tracking_uri=_tracking_uri(tracking) if tracking else None,
            database_url=database_url(database, "SNN_SWEEP_DATABASE_URL") if database else None,
            storage=_storage(environ, home),
            data=_folder(environ, "SNN_SWEEP_DATA", home / "data"),
            ray_address=None if not ray or ray == "local" else ray,
            archive_mb=_megabytes(environ, "SNN_SWEEP_ARCHIVE_MB", DEFAULT_ARCHIVE_MB),
            notify=tuple(environ.get("SNN_SWEEP_NOTIFY", "").split()),
            login=_login(environ),
            limits=Path(limits).absolute() if (limits := environ.get("SNN_SWEEP_LIMITS")) else None,
        )

    @property
    def user(self) -> str:
        """The user's name on the tracking server; empty without a login by name."""
        return dict(self.login).get("MLFLOW_TRACKING_USERNAME", "")

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self) if field.repr}
        shown = {k: without_password(v) if isinstance(v, str) else v for k, v in values.items()}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def without_password(url: str) -> str:
    """The URL with ``***`` in place of every secret; user, host and path stay.

    It masks too much rather than too little, as a mistyped URL must not show its password either.
    """
    scheme = re.match(r"(?:\w[\w+.-]*://)?", url)
    head = scheme[0] if scheme else ""
    rest = re.sub(r"^([^:/@]*):.*@", r"\1:***@", url[len(head) :], flags=re.DOTALL)
    if head.lower().startswith("http"):
        rest = re.sub(r"^[^:/@]+@", "***@", rest)  # a token in place of the user
    secret = r"((?:\w*passw(?:or)?d|pwd|\w*token|\w*secret\w*)\s*=\s*)[^&\s]+"
    return head + re.sub(secret, r"\1***", rest, flags=re.IGNORECASE)


def database_url(url: str, name: str) -> str:
    """A database URL for MLflow and SQLAlchemy; ``postgres://`` gets its driver.

    Args:
        url: the URL as the user wrote it.
        name: the variable or option that it is from, for the message.

    Raises:
        SettingsError: it is not a PostgreSQL or SQLite URL.
    """
    scheme, separator, rest = url.partition("://")
    drivers = {
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "postgresql+psycopg": "postgresql+psycopg",
        "sqlite": "sqlite",
    }
    driver = drivers.get(scheme.lower()) if separator else None
    if driver == "sqlite" and rest.startswith("//") and rest.strip("/"):
        return f"sqlite://{rest}"
    parts = _split(url)
    if driver is None or driver == "sqlite" or parts is None or not parts.path.strip("/"):
        # A text without :// may be anything, even a password, so it is not shown.
        shown = repr(without_password(url)) if separator else "a text without ://"
        raise SettingsError(
            f"{name} is not a valid database URL: {shown}. Valid: "
            "postgresql://user:password@host:5432/database (characters such as @ and / in the "
            "password written as %40 and %2F) or sqlite:////absolute/path/mlflow.db"
        )
    return f"{driver}://{rest}"


def _split(url: str) -> SplitResult | None:
    """The URL's parts; None if its host or port is invalid (Python's error would quote the URL)."""
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _tracking_uri(uri: str) -> str:
    parts = _split(uri.strip())
    if parts is None or parts.scheme.lower() not in ("http", "https") or not parts.hostname:
        raise SettingsError(
            "MLFLOW_TRACKING_URI is not an address of a tracking server: "
            f"{without_password(uri)!r}. Valid: http://host:port or https://host/path. Unset it to "
            "use a server on this machine."
        )
    return uri.strip().rstrip("/")


def use_login(login: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Let this process log in to the tracking server with these variables and no others.

    Returns:
        The variables with which it logged in before.
    """
    before = {name: os.environ.pop(name) for name in _LOGIN if name in os.environ}
    os.environ.update(login)
    return before


def _login(environ: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    name, password, token = _LOGIN
    given = {key: environ[key] for key in _LOGIN if environ.get(key)}
    is_complete = token in given or given.keys() >= {name, password}
    return tuple(given.items()) if is_complete else ()


def _storage(environ: Mapping[str, str], home: Path) -> str:
    value = environ.get("SNN_SWEEP_STORAGE", "")
    if "://" not in value:
        return str(_folder(environ, "SNN_SWEEP_STORAGE", home / "storage"))
    parts = _split(value)
    if parts is None or parts.scheme != "s3" or not parts.netloc:
        raise SettingsError(
            f"SNN_SWEEP_STORAGE is not a valid storage: {without_password(value)!r}. "
            "Valid: a folder that all nodes share, or s3://bucket/prefix"
        )
    return value.rstrip("/")


def _megabytes(environ: Mapping[str, str], name: str, default: int) -> int:
    value = environ.get(name) or str(default)
    if not re.fullmatch("[0-9]{1,9}", value) or int(value) == 0:
        raise SettingsError(
            f"{name} is {value[:80]!r}. Valid: a whole number of megabytes, such as {default}"
        )
    return int(value)


def _folder(environ: Mapping[str, str], name: str, default: Path) -> Path:
    """The absolute path of a folder that exists or can be created."""
    value = environ.get(name)
    try:
        path = (Path(value) if value else default).expanduser().absolute()
    except RuntimeError:  # ~name of an unknown user
        raise SettingsError(
            f"{name} is {value!r}, but this user's home folder is unknown. Valid: an absolute path."
        ) from None
    try:
        nearest = next(p for p in (path, *path.parents) if p.exists())
        problem = "" if nearest.is_dir() else f"{str(nearest)!r} is a file"
    except OSError as error:
        problem = (error.strerror or "it cannot be read").lower()
    if problem:
        raise SettingsError(
            f"{name} is {str(path)!r}, but {problem}. Valid: a folder, which need not exist."
        )
    return path
