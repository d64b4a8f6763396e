"""Archives: a sweep's spec and finished trials in one file, to move to another server or to keep.

An archive consists of lines of JSON: first the sweep, then one line for each trial of some
kilobytes. A file whose name ends in ``.gz`` is compressed. Numbers keep every digit, so that an
imported sweep has the same tables to the last bit.
"""

from __future__ import annotations

import gzip
import itertools
import json
import os
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestration.errors import InputError
from orchestration.record.archive_schema import (
    VERSION,
    AnyVersion,
    SweepLine,
    TrialLine,
    problem_of,
)
from orchestration.record.finished_trial import FinishedTrial
from orchestration.record.kept_model import MODEL_TAG
from services.settings import DEFAULT_ARCHIVE_MB

_LINES = 16
"""A line may hold one part in so many of the limit: reading a line takes far more memory."""


@dataclass(frozen=True)
class SweepArchive:
    """The content of an archive.

    Args:
        name: the sweep's name.
        status: completed, failed or stopped, as its last driver left it.
        spec: the JSON of its spec; None if none was recorded.
        trials: its finished trials, and after them those that its search pruned.
    """

    name: str
    status: str
    spec: str | None
    trials: tuple[FinishedTrial, ...]


def write_archive(archive: SweepArchive, path: Path) -> None:
    """Write an archive, whole or not at all. Writing the same sweep again gives the same bytes.

    Raises:
        InputError: the file cannot be written, or a trial holds values that no archive may hold.
    """
    head = {
        "snn_sweep_archive": VERSION,
        "name": archive.name,
        "status": archive.status,
        "spec": None if archive.spec is None else json.loads(archive.spec),
    }
    lines = [
        json.dumps(line, ensure_ascii=False) for line in (head, *map(_trial_line, archive.trials))
    ]
    for trial, line in zip(archive.trials, lines[1:], strict=True):
        try:
            TrialLine.model_validate_json(line)
        except ValidationError as error:
            raise InputError(
                f"run {trial.run_id} of {archive.name!r} cannot be exported: {problem_of(error)}"
            ) from None
    data = "".join(line + "\n" for line in lines).encode()
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        unfinished.write_bytes(gzip.compress(data, mtime=0) if path.suffix == ".gz" else data)
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror}") from error


def read_archive(path: Path, megabytes: int = DEFAULT_ARCHIVE_MB) -> SweepArchive:
    """Read an archive line by line, and check all of it.

    Args:
        path: the archive's file.
        megabytes: the most that the file may hold once it is unpacked. A compressed file of a few
            megabytes can otherwise fill the memory.

    Raises:
        InputError: there is no such file, it holds more, or it is not an archive of this version.
    """
    lines = _lines(path, megabytes)
    sweep = _sweep(path, next(lines, b""))
    trials: list[FinishedTrial] = []
    seen: dict[str, int] = {}
    for number, line in enumerate(lines, 2):
        with _named_line(path, number):
            trial = _finished(TrialLine.model_validate_json(line))
            for what in (f"run {trial.run_id}", f"trial {trial.key}"):
                if (first := seen.setdefault(what, number)) != number:
                    raise ValueError(f"it is {what}, as line {first} is")
        trials.append(trial)
    spec = None if sweep.spec is None else json.dumps(sweep.spec, separators=(",", ":"))
    return SweepArchive(sweep.name, sweep.status, spec, tuple(trials))


def _lines(path: Path, megabytes: int) -> Iterator[bytes]:
    left = megabytes * 10**6
    longest = left // _LINES
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            while line := file.readline(min(left, longest) + 1):
                left -= len(line)
                if left < 0 or len(line) > longest:
                    what = f"{megabytes:,} MB" if left < 0 else f"{longest / 1e6:,g} MB in a line"
                    raise InputError(
                        f"{str(path)!r} holds more than {what} once it is unpacked. If you trust "
                        "whoever made it, and have the memory (some fifteen times as much), raise "
                        "the limit: snn-sweep --archive-mb N …, or SNN_SWEEP_ARCHIVE_MB=N"
                    )
                yield line
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    except (EOFError, zlib.error) as error:
        raise _no_archive(path, error) from error


def _sweep(path: Path, line: bytes) -> SweepLine:
    try:
        version = AnyVersion.model_validate_json(line).snn_sweep_archive
    except ValidationError as error:
        raise _no_archive(path, problem_of(error)) from None
    if version != VERSION:
        raise InputError(
            f"{str(path)!r} is an archive of version {version}; this version reads {VERSION}"
        )
    with _named_line(path, 1):
        return SweepLine.model_validate_json(line)


@contextmanager
def _named_line(path: Path, number: int) -> Iterator[None]:
    """Raise InputError with this line's number if the line is found wrong."""
    try:
        yield
    except ValueError as error:
        problem = problem_of(error) if isinstance(error, ValidationError) else error
        raise InputError(f"{str(path)!r} is damaged: line {number}: {problem}") from None


def _no_archive(path: Path, why: object) -> InputError:
    return InputError(
        f"{str(path)!r} is not a sweep's archive ({why}): `snn-sweep export NAME FILE` makes one"
    )


def _trial_line(trial: FinishedTrial) -> dict[str, Any]:
    """A trial as plain data, with its metrics grouped by step and time, as an epoch shares both."""
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


def _finished(line: TrialLine) -> FinishedTrial:
    # Earlier versions exported the tag about the kept model, which archives do not hold.
    tags = {name: text for name, text in line.tags.items() if name != MODEL_TAG}
    return FinishedTrial(**{**dict(line), "tags": tags})
