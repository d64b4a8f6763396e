"""Checks whether a paper's tables and macros still agree with the record."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from orchestration.errors import InputError, UnknownSweepError
from orchestration.record.names import COPIED_TAG
from orchestration.render.latex import escape_latex
from orchestration.report.paper.macros import read_macros
from orchestration.report.paper.write import (
    MACROS,
    MANIFEST,
    Paper,
    compose,
    read_manifest,
    read_sweeps,
)
from orchestration.results.results import Results


class Difference(NamedTuple):
    """A difference between a folder and the record."""

    what: str
    """A macro with its backslash, a file, a sweep or a run."""
    old: str
    """Its text in the folder."""
    new: str
    """Its text according to the record."""

    def __str__(self) -> str:
        return f"{self.what}: {self.old} → {self.new}"


def check_paper(folder: Path, names: Sequence[str] = ()) -> list[Difference]:
    """Compare a folder that ``write_paper`` made with the record.

    Args:
        names: exported files from which sweeps are read; the other sweeps are read by the names in
            the manifest, as ``Results`` does.

    Returns:
        All differences. Ids of runs may differ: those of a sweep that was imported, or read from a
        file, are from another server.

    Raises:
        InputError: the folder has no manifest, or a sweep that is named is not in it.
        ServiceError: the server or the database cannot be reached.
    """
    manifest = read_manifest(folder)
    given = {sweep.name: sweep for sweep in read_sweeps(names)}
    for name in given:
        if name not in manifest["sweeps"]:
            known = ", ".join(sorted(manifest["sweeps"]))
            raise InputError(f"{str(folder)!r} has nothing of sweep {name!r}, but of {known}")
    differences: list[Difference] = []
    sweeps: list[Results] = []
    for name in sorted(manifest["sweeps"]):
        try:
            sweep = given.get(name) or Results(name)
            differences += _gone(sweep, manifest["sweeps"][name])
            compose([sweep])
        except InputError as error:
            hint = f"; if its numbers are from a file: snn-sweep paper --check {folder} FILE"
            gone = f"gone: {error}{hint if isinstance(error, UnknownSweepError) else ''}"
            differences.append(Difference(f"sweep {name}", "recorded", gone))
        else:
            sweeps.append(sweep)
    paper = compose(sweeps) if sweeps else Paper({}, {"numbers": {}})
    there = {sweep.name for sweep in sweeps}
    differences += _numbers(manifest, paper, there)
    differences += _files(folder, manifest, paper)
    return differences


def _gone(sweep: Results, recorded: Mapping[str, Any]) -> Iterator[Difference]:
    """Runs of the manifest that exist neither under their own id nor as copies."""
    records = sweep.snapshot([]).records
    present = set(records.runs.index)
    present |= {copied_from for _, _, copied_from in records.tag_rows([COPIED_TAG])}
    for cell in recorded["cells"]:
        for run in cell["runs"]:
            if run not in present:
                yield Difference(f"run {run}", f"of {sweep.name} {cell['cell']}", "gone")


def _numbers(manifest: Mapping[str, Any], paper: Paper, there: set[str]) -> Iterator[Difference]:
    old = {k: v for k, v in manifest["numbers"].items() if v["sweep"] in there}
    new = paper.manifest["numbers"]
    for name in dict.fromkeys([*old, *new]):
        before = old[name]["text"] if name in old else "not there"
        after = new[name]["text"] if name in new else "gone"
        if before != after:
            yield Difference(f"\\{name}", before, after)


def _files(folder: Path, manifest: Mapping[str, Any], paper: Paper) -> Iterator[Difference]:
    """Files that were changed by hand, unless ``_numbers`` reports their numbers."""
    for name, digest in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            yield Difference(name, "written", "missing")
            continue
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() == digest:
            continue
        text = data.decode("utf-8", "replace")
        if name == MACROS:
            yield from _macros(text, manifest)
        elif name in paper.files and _rows(text) != _rows(paper.files[name]):
            rows = zip(_rows(text), _rows(paper.files[name]), strict=False)
            changed = [pair for pair in rows if pair[0] != pair[1]]
            old, new = changed[0] if changed else ("another number of rows", "")
            yield Difference(f"{name}, changed by hand", old.strip(), new.strip())
    for name, text in paper.files.items():
        if name != MACROS and name not in manifest["files"]:
            yield Difference(name, "not there", f"{len(_rows(text))} lines")


def _macros(text: str, manifest: Mapping[str, Any]) -> Iterator[Difference]:
    """Macros whose text was changed by hand."""
    present = read_macros(text)
    written = {name: escape_latex(of["text"]) for name, of in manifest["numbers"].items()}
    for name in dict.fromkeys([*written, *present]):
        before, after = present.get(name, "not there"), written.get(name, f"not in {MANIFEST}")
        if before != after:
            yield Difference(f"\\{name} in {MACROS}, changed by hand", before, after)


def _rows(text: str) -> list[str]:
    """A file's lines without its comments, which contain the ids of runs."""
    return [line for line in text.splitlines() if not line.startswith("%")]
