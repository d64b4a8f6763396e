"""The sweeps of this machine: their drivers, their logs, and how to stop them."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.errors import InputError
from orchestration.model.sweep_name import is_sweep_name
from orchestration.store.base import Storage
from orchestration.store.lease import Holder, holder, report_writer, was_driven
from orchestration.store.open import sweep_storage
from services.settings import Settings
from services.tracking import reading_uri

if TYPE_CHECKING:  # `list` and `status` read no events
    from orchestration.progress.event_log import Replay
    from orchestration.progress.events import EventHandler

NOBODY = "nobody"
"""The driver of a sweep whose driver has ended or died."""

_POLL_SECONDS = 0.3


def is_abandoned(status: str, driver: str | None) -> bool:
    """Whether a sweep is unfinished, but has no driver any more."""
    return status == "running" and driver == NOBODY


def driver_in_short(status: str, driver: str | None) -> str:
    """The driver of a sweep, for a table; empty if the sweep has ended."""
    if status == "running":
        return driver or "not known here"
    return "" if driver is None or driver == NOBODY else driver


def driver_in_words(status: str, driver: str | None, how_to_run: str) -> str:
    """The driver of a sweep, or how to continue without one; empty if the sweep has ended."""
    if is_abandoned(status, driver):
        return f"nobody is running it; to continue: snn-sweep {how_to_run} its spec"
    short = driver_in_short(status, driver)
    if not short:
        return ""
    return f"driven by {short}" if driver else f"its driver is {short}"


def log_path(settings: Settings, name: str) -> Path:
    """The file with the events of a sweep that is run from this machine.

    Raises:
        InputError: no sweep can have this name.
    """
    return settings.home / "logs" / sweep_storage(settings, name).name / "events.jsonl"


class LocalSweeps:
    """The sweeps of this machine; has the methods of ``RemoteSweeps`` in ``cluster``."""

    how_to_run = "run"
    unrecorded = "nothing has been run on this machine yet"

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings.from_environment()

    def reading_uri(self) -> str | None:
        """Where this machine's runs are recorded; None if there are none."""
        return reading_uri(self._settings)

    def drivers(self, names: Sequence[str]) -> dict[str, str]:
        """The drivers of these sweeps; NOBODY for a sweep that had one in this checkpoint store.

        Left out are sweeps that never had a driver here, and names that no sweep can have.
        """
        drivers = {}
        for name in filter(is_sweep_name, names):
            storage = self._storage(name)
            if driver := _driver(storage):
                drivers[name] = str(driver)
            elif was_driven(storage):
                drivers[name] = NOBODY
        return drivers

    def report_writer(self, name: str) -> str | None:
        """The process that writes the sweep's report in the background; None if none does."""
        writer = report_writer(self._storage(name))
        return None if writer is None else str(writer)

    def show_log(self, name: str, replay: Replay, watch: EventHandler, *, to_the_end: bool) -> None:
        """Pass the events of a sweep that was run from this machine to a handler.

        Args:
            to_the_end: whether to continue until the sweep has no driver.

        Raises:
            InputError: there is no log.
        """
        path = log_path(self._settings, name)
        if not path.exists():
            raise InputError(
                f"there is no log of a sweep {name!r} on this machine: `snn-sweep run` writes "
                "one. For a sweep on a cluster: snn-sweep logs NAME --cluster URL"
            )
        for line in _lines(path, self._storage(name), to_the_end):
            replay.feed(line, watch)

    def stop(self, name: str) -> None:
        """Stop a sweep as Ctrl-C would, and wait until its runs are closed.

        Raises:
            InputError: it has no driver, or its driver is on another machine or another user's.
        """
        storage = self._storage(name)
        driver = _driver(storage)
        if driver is None:
            raise InputError(f"nobody runs sweep {name!r} from this machine's checkpoint store")
        if not driver.is_here:
            raise InputError(f"sweep {name!r} is run by {driver}: stop it there")
        try:
            with suppress(ProcessLookupError):  # it has just ended
                os.kill(driver.pid, signal.SIGINT)
        except PermissionError as error:
            raise InputError(
                f"sweep {name!r} is run by another user, as {driver}: stop it as that user"
            ) from error
        while _driver(storage) == driver:
            time.sleep(_POLL_SECONDS)

    def _storage(self, name: str) -> Storage:
        return sweep_storage(self._settings, name)


def _driver(storage: Storage) -> Holder | None:
    """The driver of a sweep. A lease in S3 outlives its holder, so the process is checked too."""
    driver = holder(storage)
    if driver is not None and driver.is_here:
        try:
            os.kill(driver.pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:  # the process lives, and is another user's
            pass
    return driver


def _lines(path: Path, storage: Storage, to_the_end: bool) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        part = ""
        while True:
            driven = to_the_end and _driver(storage) is not None
            while text := file.readline():
                part += text
                if part.endswith("\n"):
                    yield part.rstrip("\n")
                    part = ""
            if not driven:  # checked before reading, so the last lines have been read
                return
            time.sleep(_POLL_SECONDS)
