"""Reads one YAML file strictly, and remembers on which line each value stands.

Stricter than PyYAML's own loaders, because a spec decides about days of computing: one document,
no key twice, no anchors, aliases or tags, and YAML 1.2's scalars, in which ``NO`` and ``on`` are
text and ``1e-3`` is a number. The file is never expanded beyond what is written in it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from orchestration.errors import SpecError

__all__ = ["MAX_BYTES", "MAX_DEPTH", "Document", "FieldPath", "read_yaml"]

MAX_BYTES = 256_000
"""Room for 10,000 seeds; read within two seconds."""
MAX_DEPTH = 8

_NULL = re.compile(r"~|null|Null|NULL|")
_TRUE = re.compile(r"true|True|TRUE")
_FALSE = re.compile(r"false|False|FALSE")
_INT = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_SPECIAL = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")

FieldPath = tuple[str | int, ...]
"""Where a value stands: keys and indices from the top, such as ``("grid", 1, "norm")``."""


@dataclass(frozen=True)
class Document:
    """A spec as it was given: plain data, its name for messages, and its lines.

    All compare equal, as specs do that say the same in other words.

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
        SpecError: it cannot be read, is not text, not YAML, or more than this module allows.
        FileNotFoundError: there is no such file.
    """
    try:
        text = _read_text(path)
        builder = _Builder()
        for event in yaml.parse(text, Loader=yaml.SafeLoader):
            builder.take(event)
        return Document(builder.finish(), name, builder.lines)
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


class _RefusedError(Exception):
    """Why this file is refused, before its name is known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.line = line


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


@dataclass
class _Open:
    """A mapping or list that is being filled."""

    path: FieldPath
    values: dict[str, Any] | list[Any]
    key: str | None = None
    key_lines: dict[str, int] = field(default_factory=dict)


class _Builder:
    """Builds plain data from the parser's events, without recursion."""

    def __init__(self) -> None:
        self.lines: dict[FieldPath, int] = {}
        self._top: Any = None
        self._open: list[_Open] = []
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Take the next event; refuse what a spec may not hold."""
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise _RefusedError(
                    "a second YAML document begins here; a spec is one document", line
                )
        elif isinstance(event, yaml.NodeEvent):
            _refuse_references(event, line)
            self._take_node(event, line)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._open.pop()

    def finish(self) -> Any:
        """The whole document."""
        if self._top is None:
            raise _RefusedError(
                "is empty; a spec needs at least name, dataset, epochs, seeds and grid"
            )
        if not isinstance(self._top, dict):
            raise _RefusedError(
                f"must be a mapping of keys to values, got {_kind(self._top)}", self.lines[()]
            )
        return self._top

    def _take_node(self, event: yaml.NodeEvent, line: int) -> None:
        if self._awaits_key():
            if not isinstance(event, yaml.ScalarEvent):
                raise _RefusedError("a key must be text, got a mapping or a list", line)
            self._take_key(event.value, line)
        elif isinstance(event, yaml.ScalarEvent):
            plain = event.implicit[0]
            self._place(_scalar(event.value, line) if plain else event.value, line)
        elif len(self._open) == MAX_DEPTH:
            raise _RefusedError(f"is nested more than {MAX_DEPTH} deep; a spec needs 4", line)
        else:
            values: Any = {} if isinstance(event, yaml.MappingStartEvent) else []
            self._open.append(_Open(self._place(values, line), values))

    def _awaits_key(self) -> bool:
        return (
            bool(self._open)
            and isinstance(self._open[-1].values, dict)
            and self._open[-1].key is None
        )

    def _take_key(self, key: str, line: int) -> None:
        around = self._open[-1]
        if key in around.key_lines:
            raise _RefusedError(
                f"the key {key!r} is here twice, on lines {around.key_lines[key]} and {line}; "
                "take one out",
                line,
            )
        around.key = key
        around.key_lines[key] = line

    def _place(self, value: Any, line: int) -> FieldPath:
        """Put ``value`` where it belongs; return its path."""
        path: FieldPath = ()
        if not self._open:
            self._top = value
        elif isinstance(values := self._open[-1].values, list):
            path = (*self._open[-1].path, len(values))
            values.append(value)
        else:
            around = self._open[-1]
            assert around.key is not None
            path = (*around.path, around.key)
            values[around.key] = value
            if isinstance(value, dict | list):
                line = around.key_lines[around.key]
            around.key = None
        self.lines[path] = line
        return path


def _refuse_references(event: yaml.NodeEvent, line: int) -> None:
    if isinstance(event, yaml.AliasEvent):
        raise _RefusedError(f"aliases (*{event.anchor}) are not allowed; write the value out", line)
    if event.anchor is not None:
        raise _RefusedError(f"anchors (&{event.anchor}) are not allowed; write the value out", line)
    tag = getattr(event, "tag", None)
    if tag is not None:
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


def _kind(value: Any) -> str:
    return "a list" if isinstance(value, list) else f"only {value!r}"[:80]
