"""The checkpoint store: where a sweep's work in progress lies, in a folder or in S3.

    Storage     a folder of it: files that are whole or not there at all
    Journal     a file that grows by lines, for one writer: who opens it supersedes whoever had it
    Lock        held by one process, and let go of when that process dies

Checkpoints, spools, the lease of a sweep and what was submitted of it are kept by these alone.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from orchestration.model.sweep_name import sweep_name


class SupersededError(Exception):
    """Another attempt at the same trial has taken over; this one must not write any more."""


class Storage(ABC):
    """A folder of the checkpoint store, which need not be there yet. Can be pickled.

    Every method raises ``OSError`` where the store does not do its part.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of its address."""

    def folder(self, name: str) -> Self:
        """The folder of this name in it, directly below it: any name keeps the rule of a sweep's.

        Raises:
            ValueError: the name breaks that rule.
        """
        return self._below(sweep_name(name))

    @abstractmethod
    def _below(self, name: str) -> Self:
        """The folder of this name, which has been checked."""

    @abstractmethod
    def folders(self) -> Sequence[Self]:
        """The folders in it that hold something."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """A file as it was last written; None where there is none."""

    @abstractmethod
    def write(self, name: str, data: bytes, *, previous: str | None = None) -> None:
        """Put a file in the place of the one of that name, which is kept as ``previous``.

        Where it raises, the files are as they were.
        """

    @abstractmethod
    def delete(self, *names: str) -> None:
        """Remove files, those of them that are there."""

    @abstractmethod
    def delete_all(self) -> None:
        """Remove everything in it."""

    @abstractmethod
    def journal(self, name: str, first_line: bytes) -> Journal:
        """Take a journal over by writing a line, which has no equal."""

    @abstractmethod
    def lock(self, name: str) -> Lock:
        """The lock of this name."""


class Journal(ABC):
    """Lines in a file, each in the store for good before :meth:`append` returns.

    Attributes:
        lines: the whole file, one that a crash cut short excepted.
    """

    lines: list[bytes]

    @abstractmethod
    def append(self, line: bytes) -> None:
        """Add a line, which ends with a newline.

        Raises:
            SupersededError: another attempt has taken the journal over.
            OSError: the store would not take it.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it."""


class Lock(ABC):
    """Held by one process at a time, wherever it runs."""

    @abstractmethod
    def take(self, owner: bytes) -> Held | None:
        """Take it; None where somebody else has it.

        Args:
            owner: tells who holds it.
        """

    @abstractmethod
    def owner(self) -> bytes | None:
        """Who holds it; None if nobody does."""


class Held(ABC):
    """A lock while it is held."""

    lost: bool = False
    """Whether somebody else has it by now, who took this process for dead."""

    @abstractmethod
    def release(self) -> None:
        """Let go of it."""
