"""Opens the checkpoint store that an address names."""

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
    # Each only where it is used: boto3 need not be installed for a folder.
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
    # A name of 128 characters may be too long for a file system, which counts bytes. One that
    # looks like the digest in its place would share its folder.
    is_taken_as_it_is = len(name.encode()) <= 255 and not _DIGEST.fullmatch(name)
    folder = name if is_taken_as_it_is else hashlib.sha256(name.encode()).hexdigest()
    return open_storage(settings.storage).folder(folder)
