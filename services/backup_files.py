"""The files of a backup: copies, their checksums, and a folder put in the place of another."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from services.errors import BackupError


@contextmanager
def replacing(source: Path, target: Path) -> Iterator[Callable[[], None]]:
    """Copy a folder into the target; yields the function that puts the copy in place of the rest.

    The target itself stays, as it may be a mounted volume.
    """
    target.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".restoring-", dir=target) as beside:
        new, former = Path(beside) / "new", Path(beside) / "former"
        former.mkdir()
        new.mkdir()
        copy_tree(source, new)

        def swap(out: Path, into: Path) -> None:
            for entry in [entry for entry in target.iterdir() if entry.name != Path(beside).name]:
                entry.rename(out / entry.name)
            for entry in list(into.iterdir()):
                entry.rename(target / entry.name)

        committed = False

        def commit() -> None:
            nonlocal committed
            committed = True
            swap(former, new)

        try:
            yield commit
        except BaseException:
            if committed:
                swap(new, former)
            raise


def files_of(folder: Path) -> Iterator[Path]:
    """All files below a folder, which need not exist."""
    return (path for path in folder.rglob("*") if path.is_file())


def copy_tree(source: Path, target: Path) -> dict[str, str]:
    """Copy the files of a folder; returns their checksums by path from the target's parent."""
    sums = {}
    for path in files_of(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # a model of a run that is trained again is removed
            shutil.copyfile(path, copy)
            sums[str(copy.relative_to(target.parent))] = sum_of(copy)
    return sums


def sum_of(file: Path) -> str:
    """The SHA-256 of a file, which is flushed to the disk first."""
    with file.open("rb") as content:
        os.fsync(content.fileno())
        return hashlib.file_digest(content, "sha256").hexdigest()


def write_sums(file: Path, sums: dict[str, str]) -> None:
    """Write checksums as ``sha256sum`` does, which marks lines with an escaped name."""
    lines = []
    for name, digest in sorted(sums.items()):
        escaped = name.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")
        lines.append(f"{'' if escaped == name else chr(92)}{digest}  {escaped}\n")
    file.write_bytes(os.fsencode("".join(lines)))


def read_sums(file: Path) -> dict[str, str]:
    """The checksums that `write_sums` has written.

    Raises:
        BackupError: the file is missing or damaged.
    """
    escapes = {"\\\\": "\\", "\\n": "\n", "\\r": "\r"}
    sums = {}
    try:
        for line in os.fsdecode(file.read_bytes()).split("\n")[:-1]:
            digest, name = line.removeprefix("\\").split("  ", 1)
            if line.startswith("\\"):
                name = re.sub(r"\\[\\nr]", lambda found: escapes[found[0]], name)
            sums[name] = digest
    except (OSError, ValueError):
        raise BackupError(f"the backup {file.parent} is damaged: {file.name}") from None
    return sums
