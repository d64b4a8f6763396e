"""The processes of a sweep: its only driver, which holds its lease, and its report's writer."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestration.errors import SweepError
from orchestration.store.base import Held, Storage

_LOCK = "driver.lock"
_REPORT_LOCK = "report.lock"


class LeaseTakenError(SweepError):
    """Another process runs this sweep."""


@dataclass(frozen=True)
class Holder:
    """The process that runs a sweep."""

    pid: int
    host: str

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"

    @property
    def is_here(self) -> bool:
        """Whether the process is on this machine."""
        return self.host == socket.gethostname()


@contextmanager
def sweep_lease(storage: Storage, name: str) -> Iterator[Held]:
    """Hold the lease of a sweep for the context.

    Raises:
        LeaseTakenError: another process holds it.
        SweepError: the store cannot be used.
    """
    lock = storage.lock(_LOCK)
    try:
        held = lock.take(_this_process())
        if held is None:
            raise LeaseTakenError(
                f"sweep {name!r} is being run by {holder(storage) or 'another process'}; nothing "
                f"was started. Follow it with: snn-sweep status {name}"
            )
    except OSError as error:
        raise SweepError(
            f"the checkpoint store cannot be used: {error}. Its folder is in SNN_SWEEP_HOME, "
            "unless SNN_SWEEP_STORAGE names another: set one of them to a folder that you own"
        ) from error
    try:
        yield held
    finally:
        held.release()


def holder(storage: Storage) -> Holder | None:
    """The process that runs the sweep with this folder in the store; None if none does."""
    return _owner(storage, _LOCK)


def was_driven(storage: Storage) -> bool:
    """Whether any process has ever run the sweep with this folder in the store."""
    return storage.read(_LOCK) is not None


@contextmanager
def writing_report(storage: Storage) -> Iterator[None]:
    """Record for the context that this process writes the report; others may write one too."""
    held = storage.lock(_REPORT_LOCK).take(_this_process())
    try:
        yield
    finally:
        if held is not None:
            held.release()


def report_writer(storage: Storage) -> Holder | None:
    """The process that writes the sweep's report in the background; None if none does."""
    return _owner(storage, _REPORT_LOCK)


def _this_process() -> bytes:
    return json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode()


def _owner(storage: Storage, lock: str) -> Holder | None:
    owner = storage.lock(lock).owner()
    return Holder(**json.loads(owner)) if owner is not None else None
