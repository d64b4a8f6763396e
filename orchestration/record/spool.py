"""The spool of a trial: its records wait in the checkpoint store until MLflow has them."""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from orchestration.store.base import Storage

_NAME = "spool.jsonl"


class Spool:
    """A trial's records, one JSON object per line, each stored durably before it counts.

    Opening the spool takes it over: an attempt that had it open before, on whatever machine, cannot
    write another line.

    Args:
        storage: the trial's own folder in the checkpoint store.
        driver: identifies the driver that started this attempt.
        node: Ray's id of the node on which this attempt runs.
    """

    def __init__(self, storage: Storage, driver: str = "", node: str = "") -> None:
        attempt = {"attempt": uuid.uuid4().hex, "driver": driver, "node": node}
        self._journal = storage.journal(_NAME, _line(attempt))
        self.entries = _entries(self._journal.lines)

    @property
    def is_new(self) -> bool:
        """Whether this is the first attempt at its trial."""
        return sum("attempt" in entry for entry in self.entries) == 1

    @property
    def attempts_in_vain(self) -> int:
        """How many attempts of this driver there are since the last progress of the trial.

        Progress is a recorded epoch, or a checkpoint within one. Epoch 0, which is recorded before
        training, does not count as an epoch.
        """
        return len(self._in_vain())

    @property
    def nodes_in_vain(self) -> list[str]:
        """The nodes of these attempts, the newest first."""
        return [attempt.get("node", "") for attempt in self._in_vain()]

    def _in_vain(self) -> list[dict[str, Any]]:
        since = itertools.takewhile(lambda entry: not _is_progress(entry), reversed(self.entries))
        attempts = [entry for entry in since if "attempt" in entry]
        return [entry for entry in attempts if entry.get("driver") == attempts[0].get("driver")]

    def append(self, entry: dict[str, Any]) -> None:
        """Add an entry to the store, then to :attr:`entries`.

        Raises:
            SupersededError: another attempt has taken the spool over.
            OSError: the store failed.
        """
        self._journal.append(_line(entry))
        self.entries.append(entry)

    def close(self) -> None:
        """Release the spool's file."""
        self._journal.close()

    @property
    def run_id(self) -> str | None:
        """The id of the MLflow run of these records; None until there is a run."""
        return spooled_run_id(self.entries)

    @property
    def ending(self) -> dict[str, Any] | None:
        """The entry with the trial's outcome; None until it has ended."""
        return next((entry for entry in self.entries if "outcome" in entry), None)

    @property
    def epochs(self) -> set[int]:
        """The recorded epochs."""
        return {entry["step"] for entry in self.entries if "step" in entry}


def _is_progress(entry: Mapping[str, Any]) -> bool:
    return bool(entry.get("step")) or "saved_within_epoch" in entry


def read_spool(storage: Storage) -> list[dict[str, Any]]:
    """The complete entries of a trial's spool, without taking it over; empty if there is none."""
    lines = (storage.read(_NAME) or b"").splitlines(keepends=True)
    return _entries([line for line in lines if line.endswith(b"\n")])


def spooled_run_id(entries: Sequence[Mapping[str, Any]]) -> str | None:
    """The id of the MLflow run of these entries; None until there is a run."""
    return next((str(e["run_id"]) for e in reversed(entries) if "run_id" in e), None)


def _entries(lines: Sequence[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines]


def _line(entry: Mapping[str, Any]) -> bytes:
    return json.dumps(entry).encode() + b"\n"
