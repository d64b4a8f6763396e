"""Describes an error in one line, which a terminal and MLflow can show."""

from __future__ import annotations

from orchestration.record.names import sendable

_LONGEST = 500
"""The most characters; the whole text is in the run's tag, with its traceback."""


def in_a_line(error: BaseException) -> str:
    """The type and the message of an error, in one line."""
    text = str(error)
    return one_line(f"{type(error).__name__}: {text}" if text else type(error).__name__)


def one_line(text: str) -> str:
    """The text in one line of at most 500 characters."""
    line = " ".join(sendable(text).split())
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 1]}…"
