"""Collects what is wrong with a spec: each problem with its file, line and field."""

from __future__ import annotations

from typing import Any

from orchestration.errors import Problem, SpecError
from orchestration.sweep.yaml_file import Document, FieldPath

_MOST_SHOWN = 10


class Problems:
    """The problems found so far in one spec."""

    def __init__(self, source: Document) -> None:
        self._source = source
        self._problems: dict[Problem, None] = {}

    def add(self, path: FieldPath, message: str) -> None:
        """Note that the value at ``path`` is wrong; the same problem is kept once."""
        data = self._source.data
        if path[:1] == ("seeds",) and isinstance(data, dict) and "seeds" not in data:
            path = path if data.get("search") is None else ("confirm", *path)
        field = _field_name(data, path)
        problem = Problem(message, self._source.name, self._source.line(path), field)
        self._problems[problem] = None

    def error(self) -> SpecError:
        """The error with all problems, in the order of the file."""
        problems = sorted(self._problems, key=lambda problem: problem.line or 0)
        return SpecError(problems[:_MOST_SHOWN], left_out=max(0, len(problems) - _MOST_SHOWN))

    def raise_any(self) -> None:
        """Raise the error with all problems, if there are any.

        Raises:
            SpecError: there are problems.
        """
        if self._problems:
            raise self.error()


def _field_name(data: Any, path: FieldPath) -> str | None:
    """``grid[1].norm`` for ``("grid", 1, "norm", 0)`` where norm is a single value, not a list."""
    name = ""
    for part in path:
        if isinstance(part, int):
            if not isinstance(data, list | tuple):
                break
            name += f"[{part}]"
        else:
            plain = part.isidentifier()
            name += ("." if name else "") + (part if plain else repr(part[:80]))
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            data = None
    return name or None
