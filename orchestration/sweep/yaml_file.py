"""Reads one YAML file strictly, and remembers the line of each value.

It is stricter than PyYAML's own loaders, because a spec decides about days of computing: it takes
one document, no key twice, no anchors, aliases or tags, and YAML 1.2's scalars, in which ``NO`` and
``on`` are text and ``1e-3`` is a number. A file cannot expand beyond what is written in it.

It works on the parser's events, as loaders that keep lines do not fit: ruamel.yaml's takes three
times as long (3.5 s for 240 kB of seeds), and would need the same checks for aliases and tags.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestration.errors import SpecError

MAX_BYTES = 256_000
"""Enough for 10,000 seeds, which are read within two seconds."""
MAX_DEPTH = 8

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

FieldPath = tuple[str | int, ...]
"""The path of a value: keys and indices from the top, such as ``("grid", 1, "norm")``."""


@dataclass(frozen=True)
class Document:
    """A spec as it was given: plain data, its name for messages, and its line numbers.

    All documents compare equal, so that specs from different files can be equal.

    Args:
        data: mappings, lists and scalars.
        name: the file as the user named it; None for data given from Python.
        lines: the line, from 1, of each value.
    """

    data: Any = field(default=None, compare=False)
    name: str | None = field(default=None, compare=False)
    lines: Mapping[FieldPath, int] = field(default_factory=dict, compare=False)

    def line(self, path: FieldPath) -> int | None:
        """The line of the value at ``path``, or of the nearest thing around it."""
        for length in range(len(path), -1, -1):
            if (line := self.lines.get(path[:length])) is not None:
                return line
        return None


def read_yaml(path: Path, name: str) -> Document:
    """Read the YAML file ``path``, called ``name`` in messages.

    Raises:
        SpecError: it cannot be read, is not text or not YAML, or has what this module refuses.
        FileNotFoundError: there is no such file.
    """
    try:
        text = _read_text(path)
    except _RefusedError as refused:
        raise SpecError.of(refused.message, name, refused.line) from None
    return parse_yaml(text, name)


def parse_yaml(text: str, name: str) -> Document:
    """Read YAML text, called ``name`` in messages.

    Raises:
        SpecError: it is not YAML, or has what this module refuses.
    """
    try:
        builder = _Builder(text)
        return Document(builder.document(), name, builder.lines)
    except _RefusedError as refused:
        raise SpecError.of(refused.message, name, refused.line) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else None
        raise SpecError.of(f"is not valid YAML: {error.problem}", name, line) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        problem = f"holds the control character {chr(error.character)!r}, which YAML forbids"
        raise SpecError.of(problem, name, line) from None
    except (ValueError, OverflowError) as error:
        # PyYAML lets these through, for example for the escape "\UFFFFFFFF".
        raise SpecError.of(f"is not valid YAML: {error}", name) from None


@dataclass
class _RefusedError(Exception):
    """Why a file is refused; :func:`read_yaml` adds the file's name."""

    message: str
    line: int | None = None


def _read_text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            content = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise
    except (OSError, ValueError) as error:  # a ValueError if there is a zero byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise _RefusedError(f"cannot be read: {reason}") from None
    if len(content) > MAX_BYTES:
        raise _RefusedError(
            f"is larger than {MAX_BYTES:,} bytes; a spec is a few kilobytes: "
            "is this the right file?"
        )
    if b"\0" in content:
        raise _RefusedError("is a binary file (it holds a zero byte); a spec is YAML text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _RefusedError(
            f"is not text in UTF-8 (byte 0x{content[error.start]:02x}): "
            "save it as UTF-8, or is this a binary file?",
            line,
        ) from None


class _Builder:
    """Builds plain data from the parser's events, and notes the line of each value."""

    def __init__(self, text: str) -> None:
        self._events = yaml.parse(text, Loader=yaml.SafeLoader)
        self.lines: dict[FieldPath, int] = {}

    def document(self) -> dict[str, Any]:
        """The whole file, which must be one mapping."""
        next(self._events)  # the stream begins
        begun = isinstance(next(self._events), yaml.DocumentStartEvent)
        data = self._value(next(self._events), ()) if begun else None
        if data is None:
            raise _RefusedError(
                "is empty; a spec needs at least name, dataset, epochs, seeds and grid"
            )
        next(self._events)  # the document ends
        if isinstance(event := next(self._events), yaml.DocumentStartEvent):
            raise _RefusedError(
                "a second YAML document begins here; a spec is one document", _line(event)
            )
        if not isinstance(data, dict):
            got = "a list" if isinstance(data, list) else f"only {data!r}"[:80]
            raise _RefusedError(f"must be a mapping of keys to values, got {got}", self.lines[()])
        return data

    def _value(self, event: yaml.Event, path: FieldPath) -> Any:
        """The value that begins with ``event``; consumes the events that belong to it."""
        line = self.lines[path] = _line(event)
        _refuse_references(event, line)
        if isinstance(event, yaml.ScalarEvent):
            return _scalar(event.value, line) if event.implicit[0] else event.value
        if len(path) == MAX_DEPTH:
            raise _RefusedError(f"is nested more than {MAX_DEPTH} deep; a spec needs 4", line)
        if isinstance(event, yaml.SequenceStartEvent):
            return [self._value(item, (*path, i)) for i, item in enumerate(self._nodes())]
        return self._mapping(path)

    def _mapping(self, path: FieldPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        key_lines: dict[str, int] = {}
        for event in self._nodes():
            line = _line(event)
            _refuse_references(event, line)
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError("a key must be text, got a mapping or a list", line)
            key = event.value
            if key in key_lines:
                raise _RefusedError(
                    f"the key {key!r} is here twice, on lines {key_lines[key]} and {line}; "
                    "remove one",
                    line,
                )
            key_lines[key] = line
            values[key] = self._value(next(self._events), (*path, key))
            if isinstance(values[key], dict | list):
                self.lines[*path, key] = line
        return values

    def _nodes(self) -> Iterator[yaml.Event]:
        """The events with which items begin, up to the end of the list or mapping."""
        while not isinstance(event := next(self._events), yaml.CollectionEndEvent):
            yield event


def _line(event: yaml.Event) -> int:
    assert event.start_mark is not None
    return event.start_mark.line + 1


def _refuse_references(event: yaml.Event, line: int) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise _RefusedError(f"aliases (*{event.anchor}) are not allowed; write the value out", line)
    if anchor := getattr(event, "anchor", None):
        raise _RefusedError(f"anchors (&{anchor}) are not allowed; write the value out", line)
    if tag := getattr(event, "tag", None):
        raise _RefusedError(
            f"tags ({tag}) are not allowed; put text that begins with ! in quotes", line
        )


def _scalar(text: str, line: int) -> str | int | float | bool | None:
    """A plain scalar's value by the core schema of YAML 1.2."""
    if _NULL.fullmatch(text):
        return None
    if _TRUE.fullmatch(text) or _FALSE.fullmatch(text):
        return text[0] in "tT"
    try:
        if _INT.fullmatch(text):
            return int(text)
        if _BASED.fullmatch(text):
            return int(text, base=0)
    except ValueError:
        raise _RefusedError(f"the number {text[:20]}… has too many digits", line) from None
    if _FLOAT.fullmatch(text):
        return float(text)
    if _SPECIAL.fullmatch(text):
        return float(text.replace(".", ""))
    return text
