"""The checkpoint store in a folder that all nodes share, with file locks."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Self

from orchestration.store.base import Held, Journal, Lock, Storage, SupersededError

_UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class FolderStorage(Storage):
    """A folder on a disk; writes are flushed to the disk, so that they survive a power failure."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)

    @property
    def name(self) -> str:
        return self.path.name

    def _below(self, name: str) -> Self:
        return type(self)(self.path / name)

    def folders(self) -> list[Self]:
        if not self.path.exists():
            return []
        return [type(self)(path) for path in sorted(self.path.iterdir()) if path.is_dir()]

    def read(self, name: str) -> bytes | None:
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError:
            return None

    def write(self, name: str, data: bytes, *, previous: str | None = None) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        # The temporary name is unique: a superseded attempt may be writing at the same time.
        unfinished = self.path / f"{name}.{uuid.uuid4().hex}{_UNFINISHED}"
        try:
            with unfinished.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise
        written = self.path / name
        if previous is not None and written.exists():
            written.replace(self.path / previous)
        unfinished.replace(written)
        _sync(self.path)

    def delete(self, *names: str) -> None:
        for name in names:
            (self.path / name).unlink(missing_ok=True)
            for path in self.path.glob(f"{name}.*{_UNFINISHED}"):
                path.unlink(missing_ok=True)

    def delete_all(self) -> None:
        if self.path.exists():
            shutil.rmtree(self.path)

    def size(self) -> int:
        size = 0
        for path in self.path.rglob("*"):
            with suppress(FileNotFoundError):  # replaced meanwhile
                size += path.stat().st_size if path.is_file() else 0
        return size

    def journal(self, name: str, first_line: bytes) -> Journal:
        return _FileJournal(self.path / name, first_line)

    def lock(self, name: str) -> Lock:
        return _FileLock(self.path / name)


class _FileJournal(Journal):
    """A journal in a file. It is superseded once the file is longer than what it has written."""

    def __init__(self, path: Path, first_line: bytes) -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        with _locked(self._file):
            lines = path.read_bytes().splitlines(keepends=True)
            self.lines = [line for line in lines if line.endswith(b"\n")]
            self._size = sum(len(line) for line in self.lines)
            self._file.truncate(self._size)
            self._write(first_line)

    def append(self, line: bytes) -> None:
        with _locked(self._file):
            if os.fstat(self._file.fileno()).st_size != self._size:
                raise SupersededError(f"another attempt has taken over {self._path}")
            self._write(line)

    def _write(self, line: bytes) -> None:
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(line)
        self.lines.append(line)

    def close(self) -> None:
        self._file.close()


@dataclass(frozen=True)
class _FileLock(Lock):
    """A lock that the operating system releases when its holder dies. The file stays."""

    path: Path

    def take(self, owner: bytes) -> Held | None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = self.path.open("ab", buffering=0)
        if not _lock(file):
            file.close()
            return None
        file.truncate(0)
        file.write(owner)
        return _HeldFile(file)

    def owner(self) -> bytes | None:
        if not self.path.exists():
            return None
        with self.path.open("rb", buffering=0) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return self._read_owner()
        return None

    def _read_owner(self) -> bytes:
        """What the holder wrote; waits for a holder that has just taken the lock to write it."""
        deadline = time.monotonic() + 5
        while not (owner := self.path.read_bytes()) and time.monotonic() < deadline:
            time.sleep(0.05)
        return owner


@dataclass
class _HeldFile(Held):
    file: FileIO

    def release(self) -> None:
        self.file.close()


def _lock(file: FileIO) -> bool:
    """Take the lock; retries for a moment, as reading who holds it also locks the file."""
    deadline = time.monotonic() + 0.5
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(0.05)
        else:
            return True


@contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _sync(folder: Path) -> None:
    """Make renames in the folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
