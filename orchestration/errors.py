"""What can go wrong with a sweep, as one tree. ``exit_code`` is what a command ends with.

    SweepError              1   anything below
    ├── S3Error             1   the checkpoint store in S3; also an ``OSError``
    └── InputError          2   what the user gave is wrong; nothing was started or created
        ├── UnknownSweepError 2 no sweep has this name; the message lists names that there are
        └── SpecError       2   a spec; holds each problem with its file, line and field

A service that cannot be reached is ``services.tracking.ServiceError`` (3): the services know
nothing of sweeps, so theirs stands outside this tree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

FAILED, WRONG_INPUT, UNREACHABLE, CRASHED, INTERRUPTED = 1, 2, 3, 70, 130
"""What commands end with. A job on a cluster alone says that it has crashed."""


class SweepError(Exception):
    """Base of this package's errors: its text is meant for the user, without a traceback."""

    exit_code = FAILED


class InputError(SweepError):
    """What the user gave is wrong. Nothing was started and nothing was created."""

    exit_code = WRONG_INPUT


class UnknownSweepError(InputError):
    """No sweep has the name that was given. The message lists names that there are."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong in a spec.

    Args:
        message: the rule, what was got, what is valid.
        source: the file, as the user named it; None for a spec given from Python.
        line: counted from 1; None where there is no file.
        field: such as ``grid[1].norm``; None where it is the file that is wrong.
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
        problems: all that were found, in the file's order; at least one.
        left_out: how many more there are.
    """

    def __init__(self, problems: Sequence[Problem], left_out: int = 0) -> None:
        self.problems = tuple(problems)
        self.left_out = left_out
        super().__init__(self.problems, left_out)

    @classmethod
    def of(cls, message: str, source: str | None = None, line: int | None = None) -> Self:
        """The error of a spec with one problem that is no single field's."""
        return cls([Problem(message, source, line)])

    def __str__(self) -> str:
        lines = [str(problem) for problem in self.problems]
        if self.left_out:
            lines.append(f"and {self.left_out} more")
        return "\n".join(lines)
