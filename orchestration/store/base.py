"""The interfaces of the checkpoint store, which holds a sweep's work in progress.

    Storage     a folder, whose files are written whole or not at all
    Journal     a file to which one writer appends lines; opening it supersedes the writer before
    Lock        held by one process, and released when that process dies

Checkpoints, spools, sweeps' leases and submitted specs are all stored through these interfaces.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Self

from orchestration.model.sweep_name import sweep_name


class SupersededError(Exception):
    """Another attempt at the same trial has taken over, so this one must stop writing."""


class Storage(ABC):
    """A folder of the checkpoint store, which need not exist yet. Can be pickled.

    Every method raises ``OSError`` if the store fails.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The last part of the folder's address."""

    def folder(self, name: str) -> Self:
        """The folder of this name directly below this one.

        Raises:
            ValueError: the name breaks the rule for names of sweeps.
        """
        return self._below(sweep_name(name))

    @abstractmethod
    def _below(self, name: str) -> Self:
        """The folder of this name, which is valid."""

    @abstractmethod
    def folders(self) -> Sequence[Self]:
        """The folders directly below this one that hold something."""

    @abstractmethod
    def read(self, name: str) -> bytes | None:
        """The content of a file; None if there is no such file."""

    @abstractmethod
    def write(self, name: str, data: bytes, *, previous: str | None = None) -> None:
        """Write a file; the one of that name, if any, is kept under the name ``previous``.

        If this raises, the files are unchanged.
        """

    @abstractmethod
    def delete(self, *names: str) -> None:
        """Delete files; those that do not exist are ignored."""

    @abstractmethod
    def delete_all(self) -> None:
        """Delete everything in the folder."""

    @abstractmethod
    def size(self) -> int:
        """The bytes of everything in the folder."""

    @abstractmethod
    def journal(self, name: str, first_line: bytes) -> Journal:
        """Open a journal and take it over by appending a line, which must be unique."""

    @abstractmethod
    def lock(self, name: str) -> Lock:
        """The lock of this name."""


class Journal(ABC):
    """Lines in a file, each of which is stored durably before :meth:`append` returns.

    Attributes:
        lines: all lines of the file, without one that a crash cut short.
    """

    lines: list[bytes]

    @abstractmethod
    def append(self, line: bytes) -> None:
        """Add a line, which ends with a newline.

        Raises:
            SupersededError: another attempt has taken the journal over.
            OSError: the store failed.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the file."""


class Lock(ABC):
    """A lock that one process at a time holds, on whatever machine."""

    @abstractmethod
    def take(self, owner: bytes) -> Held | None:
        """Take the lock; None if another process holds it.

        Args:
            owner: describes this process, for :meth:`owner`.
        """

    @abstractmethod
    def owner(self) -> bytes | None:
        """The description of the process that holds the lock; None if none does."""


class Held(ABC):
    """A lock while it is held."""

    lost: bool = False
    """Whether another process took the lock over, because this one seemed to be dead."""

    @abstractmethod
    def release(self) -> None:
        """Release the lock."""
