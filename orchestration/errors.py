"""The errors of sweeps, as one tree with the exit codes of commands (``exit_code``).

    SweepError              1   the base of all others
    ├── S3Error             1   the checkpoint store in S3 failed; also an ``OSError``
    └── InputError          2   the user's input is wrong; nothing was started or created
        ├── UnknownSweepError 2 no sweep has this name; the message lists the existing names
        └── SpecError       2   a spec is wrong; holds each problem with its file, line and field

A service that cannot be reached raises ``services.errors.ServiceError`` (3). It is not in this
tree, because the services do not know of sweeps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

FAILED, WRONG_INPUT, UNREACHABLE, CRASHED, INTERRUPTED = 1, 2, 3, 70, 130
"""The exit codes of commands. Only a job on a cluster ends with CRASHED."""


class SweepError(Exception):
    """Base class of this package's errors: the message is shown to the user, without traceback."""

    exit_code = FAILED


class InputError(SweepError):
    """The user's input is wrong. Nothing was started and nothing was created."""

    exit_code = WRONG_INPUT


class UnknownSweepError(InputError):
    """No sweep has the given name. The message lists the existing names."""


@dataclass(frozen=True)
class Problem:
    """One problem of a spec.

    Args:
        message: the rule, the value that breaks it, and what is valid.
        source: the file, as the user named it; None for a spec given from Python.
        line: the line, counted from 1; None without a file.
        field: the field, such as ``grid[1].norm``; None if the file itself is wrong.
    """

    message: str
    source: str | None = None
    line: int | None = None
    field: str | None = None

    def __str__(self) -> str:
        place = ":".join(str(part) for part in (self.source, self.line) if part is not None)
        return ": ".join(part for part in (place, self.field, self.message) if part)


class SpecError(InputError):
    """A spec is wrong.

    Args:
        problems: at least one problem, in the order of the file.
        left_out: how many further problems there are.
    """

    def __init__(self, problems: Sequence[Problem], left_out: int = 0) -> None:
        self.problems = tuple(problems)
        self.left_out = left_out
        super().__init__(self.problems, left_out)

    @classmethod
    def of(cls, message: str, source: str | None = None, line: int | None = None) -> Self:
        """The error of a spec with one problem that belongs to no field."""
        return cls([Problem(message, source, line)])

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.left_out:
            lines.append(f"and {self.left_out} more")
        return "\n".join(lines)
