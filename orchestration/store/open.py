"""Opens the checkpoint store that an address names."""

from __future__ import annotations

import hashlib
from pathlib import Path
from urllib.parse import urlsplit

from orchestration.store.base import Storage
from services.settings import Settings

__all__ = ["open_storage", "sweep_storage"]


def open_storage(address: str) -> Storage:
    """The checkpoint store at an absolute path or ``s3://bucket/prefix``."""
    # Each only where it is used: boto3 need not be installed for a folder.
    if "://" in address:
        from orchestration.store.s3 import S3Storage

        parts = urlsplit(address)
        return S3Storage.at(parts.netloc, parts.path)
    from orchestration.store.folder import FolderStorage

    return FolderStorage(Path(address))


def sweep_storage(settings: Settings, name: str) -> Storage:
    """The folder in the checkpoint store that holds a sweep's work in progress."""
    # A name of 128 characters may be too long for a file system, which counts bytes.
    fits = len(name.encode()) <= 255
    folder = name if fits else hashlib.sha256(name.encode()).hexdigest()
    return open_storage(settings.storage).folder(folder)
