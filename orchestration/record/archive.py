"""A sweep in one file: its spec and its finished trials, to move to another server or to keep.

Lines of JSON: first the sweep, then a trial a line. A trial takes some kilobytes; a file whose name
ends in ``.gz`` is compressed. Numbers keep every digit, so that what is imported counts by its keys
and gives the same tables to the last bit.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from orchestration.errors import InputError
from orchestration.record.finished_trial import FinishedTrial, Point
from orchestration.record.names import OUTCOME_TAG, TRIAL_KEY_TAG
from orchestration.sweep.values import sweep_name

__all__ = ["SweepArchive", "read_archive", "write_archive"]

_VERSION = 1
_STATUSES = ("completed", "failed", "stopped")


@dataclass(frozen=True)
class SweepArchive:
    """What an archive holds.

    Args:
        name: the sweep's.
        status: completed, failed or stopped, as its last driver left it.
        spec: the JSON of its spec; None where none was recorded.
        trials: its finished trials, the earliest started first.
    """

    name: str
    status: str
    spec: str | None
    trials: tuple[FinishedTrial, ...]


def write_archive(archive: SweepArchive, path: Path) -> None:
    """Write an archive, whole or not at all. The same sweep gives the same bytes.

    Raises:
        InputError: the file cannot be written.
    """
    head = {
        "snn_sweep_archive": _VERSION,
        "name": archive.name,
        "status": archive.status,
        "spec": None if archive.spec is None else json.loads(archive.spec),
    }
    lines = [head, *map(_trial_line, archive.trials)]
    data = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def read_archive(path: Path) -> SweepArchive:
    """Read an archive.

    Raises:
        InputError: there is no such file, or it is not an archive of this version.
    """
    try:
        data = path.read_bytes()
        head, *trials = (data if path.suffix != ".gz" else gzip.decompress(data)).splitlines()
        sweep = json.loads(head)
        version = sweep["snn_sweep_archive"]
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except (ValueError, LookupError, TypeError, EOFError, zlib.error) as error:
        raise InputError(
            f"{str(path)!r} is not a sweep's archive ({error}): "
            "`snn-sweep export NAME FILE` makes one"
        ) from error
    if version != _VERSION:
        raise InputError(
            f"{str(path)!r} is an archive of version {version}; this version reads {_VERSION}"
        )
    try:
        found = tuple(_read_trial(json.loads(line)) for line in trials)
        name, status, spec = sweep_name(sweep["name"]), sweep["status"], sweep["spec"]
        if status not in _STATUSES:
            raise ValueError(f"the status {status!r}")
    except (ValueError, LookupError, TypeError) as error:
        raise InputError(f"{str(path)!r} is damaged: {type(error).__name__}: {error}") from error
    text = None if spec is None else json.dumps(spec, separators=(",", ":"))
    return SweepArchive(name, status, text, found)


def _trial_line(trial: FinishedTrial) -> dict[str, Any]:
    """A trial as plain data, its metrics by step and time: those of an epoch share both."""
    points = sorted(trial.points, key=lambda point: (point[1], point[2], point[0]))
    epochs = [
        [step, time, {key: value for key, _, _, value in group}]
        for (step, time), group in itertools.groupby(points, key=lambda point: point[1:3])
    ]
    return {
        "run_id": trial.run_id,
        "label": trial.label,
        "started": trial.started,
        "ended": trial.ended,
        "params": dict(sorted(trial.params.items())),
        "tags": dict(sorted(trial.tags.items())),
        "metrics": epochs,
    }


def _read_trial(line: dict[str, Any]) -> FinishedTrial:
    for tag in (TRIAL_KEY_TAG, OUTCOME_TAG):
        if tag not in line["tags"]:
            raise ValueError(f"a trial without the tag {tag}")
    return FinishedTrial(
        run_id=line["run_id"],
        label=line["label"],
        started=line["started"],
        ended=line["ended"],
        params=line["params"],
        tags=line["tags"],
        points=tuple(_points(line["metrics"])),
    )


def _points(epochs: list[Any]) -> Iterator[Point]:
    for step, time, metrics in epochs:
        for key, value in metrics.items():
            yield key, step, time, value
