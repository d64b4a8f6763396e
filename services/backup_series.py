"""Keeps the newest backups in a folder. Each of them has been restored once, as a test.

Beside them is ``backups.prom``, the time and the result of the last one in Prometheus' text format.
"""

from __future__ import annotations

import fcntl
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge, write_to_textfile

from services.backup import Manifest, ServerRecord, backup, drill
from services.backup_files import files_of
from services.errors import BackupError

METRICS_FILE = "backups.prom"

_NAME = "%Y-%m-%dT%H-%M-%SZ"
_BACKUP = re.compile(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\dZ")
_UNFINISHED = re.compile(rf"\.{_BACKUP.pattern}\..*\.partial")


def add_backup(
    record: ServerRecord, folder: Path, keep: int, secrets_folder: Path | None = None
) -> tuple[Path, Manifest]:
    """Make a backup in the folder, drill its restoration, and delete all but the newest.

    If the drill fails, nothing is deleted.

    Args:
        record: what is backed up.
        folder: the folder of the series, which is created.
        keep: how many backups stay.
        secrets_folder: the folder of the cluster's secrets, if they are wanted too.

    Returns:
        The backup's folder and its manifest.

    Raises:
        BackupError: another backup is being made in this folder, there is nothing to back up, or a
            disk is full.
        DiffersError: what was restored differs from what was backed up.
        ServiceError: a database cannot be used.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BackupError(f"another backup is being made in {folder}") from None
        for path in folder.iterdir():
            if _UNFINISHED.fullmatch(path.name):  # its process was killed
                shutil.rmtree(path)
        new = folder / datetime.now(UTC).strftime(_NAME)
        manifest = backup(record, new, secrets_folder)
        is_restored = False
        try:
            drill(record, new)
            is_restored = True
        finally:
            _write_metrics(folder, new, manifest, is_restored=is_restored)
        backups = sorted(path for path in folder.iterdir() if _BACKUP.fullmatch(path.name))
        for oldest in backups[:-keep]:
            shutil.rmtree(oldest)
    return new, manifest


def _write_metrics(folder: Path, new: Path, manifest: Manifest, *, is_restored: bool) -> None:
    registry = CollectorRegistry()
    Gauge(
        "snn_sweep_backup_timestamp_seconds", "When the last backup was made.", registry=registry
    ).set(datetime.fromisoformat(manifest.time).timestamp())
    Gauge(
        "snn_sweep_backup_restored",
        "1 if the last backup was restored beside the server and was equal, otherwise 0.",
        registry=registry,
    ).set(is_restored)
    if manifest.artifacts is None:  # otherwise they are in S3
        Gauge(
            "snn_sweep_artifact_bytes",
            "Size of all artifacts in bytes, when the last backup was made.",
            registry=registry,
        ).set(sum(file.stat().st_size for file in files_of(new / "artifacts")))
    write_to_textfile(str(folder / METRICS_FILE), registry)
