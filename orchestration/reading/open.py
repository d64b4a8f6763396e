"""Chooses how to read records: from an archive, over SQL if there is a database, or over REST."""

from __future__ import annotations

import warnings
from pathlib import Path

from orchestration.errors import InputError
from orchestration.reading.archive import ArchiveSource, names_archive
from orchestration.reading.records import Source, SweepSource
from orchestration.reading.sql import SqlSource
from orchestration.reading.sql_schema import UnknownSchemaError
from orchestration.record.archive import read_archive
from services.settings import Settings
from services.tracking import reading_uri


def open_sweep(
    name: str, tracking_uri: str | None = None, database_url: str | None = None
) -> tuple[str, SweepSource]:
    """One sweep's name and the source of its records.

    Args:
        name: the sweep's name, or an archive's file if neither of the others is given.
            :func:`orchestration.reading.archive.names_archive` tells them apart.
        tracking_uri, database_url: see :func:`open_source`.

    Raises:
        InputError: there is no such sweep or file.
        ServiceError: the server or the database cannot be reached.
    """
    if tracking_uri is None and database_url is None and names_archive(name):
        limit = Settings.from_environment().archive_mb
        archive = ArchiveSource(read_archive(Path(name), limit))
        return archive.sweep, archive
    source = open_source(tracking_uri, database_url)
    source.check(name)
    return name, source


def open_source(tracking_uri: str | None = None, database_url: str | None = None) -> Source:
    """The source of records in a tracking server or a database; by default that of the settings.

    Raises:
        InputError: nothing is named, and nothing has been recorded on this machine.
        ServiceError: it cannot be reached.
    """
    settings = Settings.from_environment()
    if database_url is None and tracking_uri is None:
        database_url = settings.database_url
    uri = tracking_uri
    if uri is None and database_url is None:
        uri = reading_uri(settings)
    if uri is not None and uri.startswith("sqlite:"):  # SNN_SWEEP_HOME's, and no server runs
        database_url = database_url or uri
    if database_url is not None:
        try:
            return SqlSource(database_url, uri)
        except UnknownSchemaError as error:
            warnings.warn(
                f"MLflow's database is read over its REST API, which is slower: {error}, "
                "which this version does not know",
                stacklevel=4,
            )
    uri = uri or reading_uri(settings)
    if uri is None:
        raise InputError(
            "nothing has been recorded on this machine yet: start a sweep with "
            "`snn-sweep run SPEC`, or name a tracking server with MLFLOW_TRACKING_URI"
        )
    from orchestration.reading.rest import RestSource  # imports MLflow, which SQL does not need

    return RestSource(uri)
