"""Every environment variable of the project, read in one place.

    SettingsError(ValueError)   a variable whose value cannot be used; nothing was created

An empty variable counts as unset. Passwords in URLs stay out of every message and of ``repr``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from urllib.parse import SplitResult, urlsplit

DEFAULT_ARCHIVE_MB = 100
"""Megabytes; the archive of a thousand trials with diagnostics holds about 15 to 35."""


class SettingsError(ValueError):
    """A value that cannot be used; the message names it, what is valid, and the way out."""


@dataclass(frozen=True)
class Settings:
    """Where things are: folders of this machine and addresses of services.

    Attributes:
        home: everything the project writes on this machine (``SNN_SWEEP_HOME``).
        tracking_uri: the tracking server the user names (``MLFLOW_TRACKING_URI``), http(s).
        database_url: MLflow's database for reading (``SNN_SWEEP_DATABASE_URL``), as SQLAlchemy
            takes it.
        storage: checkpoints and spools (``SNN_SWEEP_STORAGE``): an absolute folder or ``s3://…``.
        data: data sets (``SNN_SWEEP_DATA``).
        ray_address: a running Ray cluster (``RAY_ADDRESS``); None starts one on this machine.
        archive_mb: the most that a sweep's archive may hold (``SNN_SWEEP_ARCHIVE_MB``), in
            megabytes once it is unpacked.
    """

    home: Path
    tracking_uri: str | None
    database_url: str | None
    storage: str
    data: Path
    ray_address: str | None
    archive_mb: int = DEFAULT_ARCHIVE_MB

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> Settings:
        """Read the settings; None reads this process's environment.

        Raises:
            SettingsError: a variable has a value that cannot be used.
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
        )

    def __repr__(self) -> str:
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        shown = {k: without_password(v) if isinstance(v, str) else v for k, v in values.items()}
        return f"Settings({', '.join(f'{k}={v!r}' for k, v in shown.items())})"


def without_password(url: str) -> str:
    """The URL as it may be shown: user, host and path stay, whatever is secret becomes ``***``.

    It masks rather too much than too little, because a mistyped URL must not leak either.
    """
    scheme = re.match(r"(?:\w[\w+.-]*://)?", url)
    head = scheme[0] if scheme else ""
    rest = re.sub(r"^([^:/@]*):.*@", r"\1:***@", url[len(head) :], flags=re.DOTALL)
    if head.lower().startswith("http"):
        rest = re.sub(r"^[^:/@]+@", "***@", rest)  # a token in place of the user
    secret = r"((?:\w*passw(?:or)?d|pwd|\w*token|\w*secret\w*)\s*=\s*)[^&\s]+"
    return head + re.sub(secret, r"\1***", rest, flags=re.IGNORECASE)


def database_url(url: str, name: str) -> str:
    """A database URL in the form MLflow and SQLAlchemy take; ``postgres://`` gets its driver.

    Args:
        url: as the user wrote it.
        name: the variable or option it came from, for the message.

    Raises:
        SettingsError: not a PostgreSQL or SQLite URL.
    """
    scheme, separator, rest = url.partition("://")
    drivers = {
        "postgres": "postgresql+psycopg",
        "postgresql": "postgresql+psycopg",
        "postgresql+psycopg": "postgresql+psycopg",
        "sqlite": "sqlite",
    }
    known = drivers.get(scheme.lower()) if separator else None
    if known == "sqlite" and rest.startswith("//") and rest.strip("/"):
        return f"sqlite://{rest}"
    parts = _split(url)
    if known is None or known == "sqlite" or parts is None or not parts.path.strip("/"):
        # What has not even that form may be anything, a password too.
        shown = repr(without_password(url)) if separator else "a text without ://"
        raise SettingsError(
            f"{name} is no database URL that can be used: {shown}. Valid: "
            "postgresql://user:password@host:5432/database (characters such as @ and / in the "
            "password written as %40 and %2F) or sqlite:////absolute/path/mlflow.db"
        )
    return f"{known}://{rest}"


def _split(url: str) -> SplitResult | None:
    """The URL's parts; None for one with a broken host or port (whose error would quote it)."""
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
            f"MLFLOW_TRACKING_URI is no address of a tracking server: {without_password(uri)!r}. "
            "Valid: http://host:port or https://host/path. Unset it to use a server on this "
            "machine."
        )
    return uri.strip().rstrip("/")


def _storage(environ: Mapping[str, str], home: Path) -> str:
    value = environ.get("SNN_SWEEP_STORAGE", "")
    if "://" not in value:
        return str(_folder(environ, "SNN_SWEEP_STORAGE", home / "storage"))
    parts = _split(value)
    if parts is None or parts.scheme != "s3" or not parts.netloc:
        raise SettingsError(
            f"SNN_SWEEP_STORAGE is no storage that can be used: {without_password(value)!r}. "
            "Valid: a folder that all nodes see, or s3://bucket/prefix"
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
    """An absolute path that is a folder or can become one."""
    value = environ.get(name)
    try:
        path = (Path(value) if value else default).expanduser().absolute()
    except RuntimeError:  # ~somebody who is not there
        raise SettingsError(
            f"{name} is {value!r}, whose home folder is not known. Valid: an absolute path."
        ) from None
    try:
        nearest = next(p for p in (path, *path.parents) if p.exists())
        problem = "" if nearest.is_dir() else f"{str(nearest)!r} is a file"
    except OSError as error:
        problem = (error.strerror or "it cannot be read").lower()
    if problem:
        raise SettingsError(
            f"{name} is {str(path)!r}, but {problem}. Valid: a folder, there or not."
        )
    return path
