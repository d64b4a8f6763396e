"""Writes the files of a paper: tables and macros in LaTeX, and a manifest of their origin.

The same records give the same bytes from every source.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from orchestration.errors import InputError
from orchestration.render.latex import latex
from orchestration.report.paper.macros import macro_names, macros_tex
from orchestration.results.results import Results
from orchestration.tables.numbers import Number, cell_words, numbers_of
from orchestration.tables.registry import tables_of
from orchestration.tables.report_data import ReportData, read_report_data

MACROS, MANIFEST = "macros.tex", "manifest.json"

_VERSION = 1
_HEAD = (
    "% Made by `snn-sweep paper` and not to be edited: `snn-sweep paper --check` compares it with "
    "the record.\n"
)
_OURS = re.compile(r"(?!\.)[A-Za-z0-9._-]+(/(?!\.)[A-Za-z0-9._-]+)?\.tex")


@dataclass(frozen=True)
class Paper:
    """The files of one or several sweeps.

    Args:
        files: the text of each file by its name in the folder, without the manifest.
        manifest: the manifest as plain data: ``sweeps``, each with its ``cells`` and their
            ``runs``; ``numbers`` by macro, each with its ``sweep``, ``where``, ``column``,
            ``value``, ``text`` and ``cells``; ``files``, each with the SHA-256 of its content.
    """

    files: dict[str, str]
    manifest: dict[str, Any]


def read_sweeps(names: Sequence[str]) -> list[Results]:
    """Open sweeps by their names, or files that were exported.

    Raises:
        InputError: there is no such sweep or file, or the same sweep is given twice.
        ServiceError: the server or the database cannot be reached.
    """
    sweeps = [Results(name) for name in names]
    for number, sweep in enumerate(sweeps):
        if sweep.name in [other.name for other in sweeps[:number]]:
            raise InputError(f"sweep {sweep.name!r} is given twice: take one out")
    return sweeps


def compose(sweeps: Sequence[Results]) -> Paper:
    """Make the files.

    Raises:
        InputError: a sweep has no finished trial.
    """
    read = sorted((read_report_data(sweep) for sweep in sweeps), key=lambda data: data.name)
    folders = _folders([data.name for data in read])
    files: dict[str, str] = {}
    numbers: list[Number] = []
    manifest_sweeps: dict[str, dict[str, Any]] = {}
    for data in read:
        if data.trials.empty:
            raise InputError(f"sweep {data.name!r} has no finished trial: there are no numbers")
        runs = _runs(data)
        cells = [cell_words(data, cell) for cell in range(len(data.best))]
        folder = folders[data.name]
        manifest_sweeps[data.name] = {
            "folder": folder,
            "cells": [{"cell": words, "runs": ids} for words, ids in zip(cells, runs, strict=True)],
        }
        origin = "".join(
            f"% {words}: {' '.join(ids) or 'no runs'}\n"
            for words, ids in zip(cells, runs, strict=True)
        )
        head = f"{_HEAD}% Sweep {data.name}; its cells and their runs:\n{origin}"
        for name, table, frame in tables_of(data):
            if "tex" in table.files:
                text = latex(table.table(frame, data.metric))
                files[f"{folder}/{name}.tex"] = f"{head}{text}\n"
        numbers += numbers_of(data)
    names = macro_names(numbers)
    text = macros_tex(numbers, names, lambda of: _origin(of, manifest_sweeps[of.sweep]["cells"]))
    files[MACROS] = f"{_HEAD}{text}\n"
    manifest = {
        "snn_sweep_paper": _VERSION,
        "files": {name: _digest(text) for name, text in files.items()},
        "sweeps": manifest_sweeps,
        "numbers": {name: asdict(number) for name, number in zip(names, numbers, strict=True)},
    }
    return Paper(files, manifest)


def write_paper(paper: Paper, folder: Path) -> None:
    """Write a paper's files, in place of what an earlier call left there.

    Raises:
        InputError: the folder cannot be written, or has files of these names that this command did
            not write, or that were changed. Nothing is written then.
    """
    earlier = read_manifest(folder)["files"] if (folder / MANIFEST).exists() else {}
    gone = [name for name in earlier if name not in paper.files and _OURS.fullmatch(name)]
    strange = [
        name
        for name in (*paper.files, *gone)
        if (text := _text(folder / name)) is not None
        and text != paper.files.get(name)
        and _digest(text) != earlier.get(name)
    ]
    if strange:
        raise InputError(
            f"in {str(folder)!r}, {', '.join(strange)} did not come from `snn-sweep paper`, or "
            "changed since: move it away, or name another folder"
        )
    try:
        for name in gone:
            (folder / name).unlink(missing_ok=True)
        for name, text in {**paper.files, MANIFEST: _json(paper.manifest)}.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text, encoding="utf-8", newline="\n")
    except OSError as error:
        raise InputError(
            f"{str(folder)!r} cannot be written: {error.strerror}; name another folder"
        ) from error


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder.

    Raises:
        InputError: there is none, or it has another version.
    """
    path = folder / MANIFEST
    try:
        manifest: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        version = manifest["snn_sweep_paper"]
        runs = [cell["runs"] for sweep in manifest["sweeps"].values() for cell in sweep["cells"]]
        texts = [(number["sweep"], number["text"]) for number in manifest["numbers"].values()]
        if not all(isinstance(ids, list) for ids in runs) or not dict(manifest["files"]):
            raise ValueError(f"{len(texts)} numbers, but no runs or no files")
    except OSError as error:
        raise InputError(
            f"{str(path)!r} cannot be read ({error.strerror}): `snn-sweep paper NAME --output "
            f"{folder}` makes such a folder"
        ) from error
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise InputError(
            f"{str(path)!r} is not a manifest of `snn-sweep paper`, or was changed by hand "
            f"({type(error).__name__}: {error}): move it away and make it again"
        ) from error
    if version != _VERSION:
        raise InputError(f"{str(path)!r} is of version {version}; this version reads {_VERSION}")
    return manifest


def _origin(number: Number, cells: Sequence[dict[str, Any]]) -> str:
    """The origin of a number in words: the runs of its cell, or its cells if there are several."""
    if len(number.cells) == 1:
        return "runs " + " ".join(cells[number.cells[0]]["runs"])
    if len(number.cells) == len(cells):
        return "all cells"
    return "cells " + ", ".join(cells[cell]["cell"] for cell in number.cells)


def _runs(data: ReportData) -> list[list[str]]:
    """The ids of each cell's runs, by seed."""
    of_cell = {cell: group["run_id"].tolist() for cell, group in data.trials.groupby("cell")}
    return [of_cell.get(cell, []) for cell in range(len(data.best))]


def _folders(names: Sequence[str]) -> dict[str, str]:
    """The name of a folder for each sweep, of characters that LaTeX accepts in a path."""
    plain = {name: re.sub(r"[^A-Za-z0-9._-]+", "-", name).lstrip(".-") or "sweep" for name in names}
    shared = {folder.lower() for folder in plain.values()}
    if len(shared) == len(plain):
        return plain
    return {name: f"{folder}-{_digest(name)[:8]}" for name, folder in plain.items()}


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _text(path: Path) -> str | None:
    """The content of a file; None if there is no such file."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be read: {error.strerror}") from error


def _json(manifest: dict[str, Any]) -> str:
    """A manifest with one line per number, sweep or file."""

    def lines(part: dict[str, Any]) -> str:
        rows = (f"  {_line(key)}: {_line(value)}" for key, value in sorted(part.items()))
        return "{\n" + ",\n".join(rows) + "\n }"

    parts = {key: lines(value) for key, value in manifest.items() if isinstance(value, dict)}
    head = f' "snn_sweep_paper": {manifest["snn_sweep_paper"]}'
    rows = [head, *(f" {_line(key)}: {text}" for key, text in sorted(parts.items()))]
    return "{\n" + ",\n".join(rows) + "\n}\n"


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, sort_keys=True, allow_nan=False)
