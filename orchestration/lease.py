"""One live driver a sweep: a lock that the operating system lets go of when its holder dies."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from orchestration.errors import SweepError

__all__ = ["Holder", "LeaseTakenError", "holder", "sweep_lease"]


class LeaseTakenError(SweepError):
    """Another process drives this sweep."""


@dataclass(frozen=True)
class Holder:
    """The process that drives a sweep."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether it runs on this machine."""
        return self.host == socket.gethostname()


@contextmanager
def sweep_lease(folder: Path, name: str) -> Iterator[None]:
    """Hold the lease of the sweep ``name``, whose files lie in ``folder``, for the context.

    Raises:
        LeaseTakenError: another process holds it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _lock_file(folder).open("a+") as file:
        if not _lock(file):
            raise LeaseTakenError(
                f"sweep {name!r} is being run by {_read(file)}; nothing was started. "
                f"Follow it with: snn-sweep status {name}"
            )
        file.truncate(0)
        file.write(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
        file.flush()
        yield


def holder(folder: Path) -> Holder | None:
    """Who drives the sweep whose files lie in ``folder``; None if nobody does."""
    if not _lock_file(folder).exists():
        return None
    with _lock_file(folder).open() as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(file)
    return None


def _lock_file(folder: Path) -> Path:
    return folder / "driver.lock"


def _lock(file: TextIO) -> bool:
    """Take the lock; a look by :func:`holder` keeps it for a moment, a driver for long."""
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


def _read(file: TextIO) -> Holder:
    """Who holds the lock; a driver that has just taken it may not have said so yet."""
    deadline = time.monotonic() + 5
    while True:
        file.seek(0)
        try:
            return Holder(**json.loads(file.read()))
        except json.JSONDecodeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
