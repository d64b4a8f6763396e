"""Opens the checkpoint store at an address."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from urllib.parse import urlsplit

from orchestration.model.sweep_name import check_sweep_name
from orchestration.store.base import Storage
from services.settings import Settings

_DIGEST = re.compile("[0-9a-f]{64}")


def open_storage(address: str) -> Storage:
    """The checkpoint store at an absolute path or ``s3://bucket/prefix``."""
    # Imported only when used: a folder does not need boto3.
    if "://" in address:
        from orchestration.store.s3 import S3Storage

        parts = urlsplit(address)
        return S3Storage.at(parts.netloc, parts.path)
    from orchestration.store.folder import FolderStorage

    return FolderStorage(Path(address))


def sweep_storage(settings: Settings, name: str) -> Storage:
    """The folder in the checkpoint store that holds a sweep's work in progress.

    Raises:
        InputError: no sweep can have this name.
    """
    check_sweep_name(name)
    # A name of 128 characters may have too many bytes for a file system: its digest replaces it.
    # A name that looks like a digest is replaced too, so that no two sweeps share a folder.
    is_usable = len(name.encode()) <= 255 and not _DIGEST.fullmatch(name)
    folder = name if is_usable else hashlib.sha256(name.encode()).hexdigest()
    return open_storage(settings.storage).folder(folder)
