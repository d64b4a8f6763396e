"""A trial's records on disk, where they wait for MLflow."""

from __future__ import annotations

import errno
import fcntl
import itertools
import json
import os
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import Any

__all__ = ["Spool", "SupersededError", "read_spool", "spool_path", "spooled_run_id"]


def spool_path(folder: Path) -> Path:
    """Where the records of the trial with this folder in the checkpoint store wait."""
    return folder / "spool.jsonl"


class SupersededError(Exception):
    """Another attempt at the same trial has taken over; this one must not write any more."""


class Spool:
    """A trial's records on disk, a JSON object a line, each flushed to the disk.

    Opening it is taking it over: whoever had it open before, on whatever machine, is refused its
    next line. A line that a crash cut short is dropped.

    Args:
        path: the file; made, with its folder, where it is missing.
        driver: stands for who started this attempt.
    """

    def __init__(self, path: Path, driver: str = "") -> None:
        self._path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        with _locked(self._file):
            self.entries = read_spool(path)
            self._size = sum(len(_line(entry)) for entry in self.entries)
            self._file.truncate(self._size)
            self._write({"attempt": uuid.uuid4().hex, "driver": driver})

    @property
    def is_new(self) -> bool:
        """Whether this is the first attempt at its trial."""
        return sum("attempt" in entry for entry in self.entries) == 1

    @property
    def attempts_in_vain(self) -> int:
        """How many attempts, of those this one's driver started, put no epoch on record since
        the last one that is.
        """
        since = itertools.takewhile(lambda entry: "step" not in entry, reversed(self.entries))
        drivers = [entry.get("driver") for entry in since if "attempt" in entry]
        return drivers.count(drivers[0]) if drivers else 0

    def append(self, entry: dict[str, Any]) -> None:
        """Put an entry on disk, then into :attr:`entries`.

        Raises:
            SupersededError: another attempt has taken the spool over.
            OSError: the disk would not take it; the file is as it was before.
        """
        with _locked(self._file):
            if os.fstat(self._file.fileno()).st_size != self._size:
                raise SupersededError(f"another attempt has taken over {self._path}")
            self._write(entry)

    def _write(self, entry: dict[str, Any]) -> None:
        line = _line(entry)
        try:
            if self._file.write(line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
            os.fsync(self._file.fileno())
        except OSError:
            self._file.truncate(self._size)
            raise
        self._size += len(line)
        self.entries.append(entry)

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def run_id(self) -> str | None:
        """The MLflow run these records belong to, once one is known."""
        return spooled_run_id(self.entries)

    @property
    def ending(self) -> dict[str, Any] | None:
        """The entry that says how the trial ended, once it has."""
        return next((entry for entry in self.entries if "outcome" in entry), None)

    @property
    def epochs(self) -> set[int]:
        """The epochs on record."""
        return {entry["step"] for entry in self.entries if "step" in entry}


def read_spool(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a spool, without taking it over; none where there is no file."""
    lines = path.read_bytes().splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith(b"\n")]


def spooled_run_id(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """The MLflow run that the entries belong to, once one is known."""
    return next((str(e["run_id"]) for e in reversed(entries) if "run_id" in e), None)


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"


@contextmanager
def _locked(file: FileIO) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)
