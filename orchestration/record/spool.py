"""A trial's records in the checkpoint store, where they wait for MLflow."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.store.base import Storage

_NAME = "spool.jsonl"


class Spool:
    """A trial's records, a JSON object a line, each in the store for good before it counts.

    Opening it is taking it over: whoever had it open before, on whatever machine, is refused its
    next line.

    Args:
        storage: the trial's own folder in the checkpoint store.
        driver: stands for who started this attempt.
    """

    def __init__(self, storage: Storage, driver: str = "") -> None:
        attempt = {"attempt": uuid.uuid4().hex, "driver": driver}
        self._journal = storage.journal(_NAME, _line(attempt))
        self.entries = _entries(self._journal.lines)

    @property
    def is_new(self) -> bool:
        """Whether this is the first attempt at its trial."""
        return sum("attempt" in entry for entry in self.entries) == 1

    @property
    def attempts_in_vain(self) -> int:
        """How many attempts, of those this one's driver started, put no epoch on record since
        the last one that is. What is known before the first, epoch 0, is none.
        """
        since = itertools.takewhile(lambda entry: not entry.get("step"), reversed(self.entries))
        drivers = [entry.get("driver") for entry in since if "attempt" in entry]
        return drivers.count(drivers[0]) if drivers else 0

    def append(self, entry: dict[str, Any]) -> None:
        """Put an entry into the store, then into :attr:`entries`.

        Raises:
            SupersededError: another attempt has taken the spool over.
            OSError: the store would not take it.
        """
        self._journal.append(_line(entry))
        self.entries.append(entry)

    def close(self) -> None:
        """Let go of it."""
        self._journal.close()

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


def read_spool(storage: Storage) -> list[dict[str, Any]]:
    """The whole lines of a trial's spool, without taking it over; none where there is none."""
    lines = (storage.read(_NAME) or b"").splitlines(keepends=True)
    return _entries([line for line in lines if line.endswith(b"\n")])


def spooled_run_id(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """The MLflow run that the entries belong to, once one is known."""
    return next((str(e["run_id"]) for e in reversed(entries) if "run_id" in e), None)


def _entries(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
