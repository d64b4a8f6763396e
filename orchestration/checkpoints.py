"""A trial's checkpoints: the newest and the one before, each whole or not there at all."""

from __future__ import annotations

import io
import os
import uuid
import warnings
from pathlib import Path
from typing import Any

import torch

__all__ = ["CheckpointStore"]


class CheckpointStore:
    """Checkpoints of one trial.

    Args:
        folder: the trial's own folder; made when the first checkpoint is saved.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._newest = folder / "checkpoint.pt"
        self._previous = folder / "previous.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Put a state on disk, and keep the one before it.

        Raises:
            OSError: the disk would not take it; the checkpoints are as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        serialized = io.BytesIO()
        torch.save(state, serialized)
        # Its own name: an attempt that has been superseded may be saving at this moment.
        unfinished = self.folder / f"unfinished-{uuid.uuid4().hex}.pt"
        try:
            with unfinished.open("wb") as file:
                file.write(serialized.getbuffer())
                file.flush()
                os.fsync(file.fileno())
        except OSError:
            unfinished.unlink()
            raise
        if self._newest.exists():
            self._newest.replace(self._previous)
        unfinished.replace(self._newest)
        _sync_folder(self.folder)

    def load(self) -> dict[str, Any] | None:
        """The newest state that can be read; None where there is none."""
        for path in (self._newest, self._previous):
            if not path.exists():
                continue
            try:
                state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
            except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
                warnings.warn(f"checkpoint {path} is damaged, left out: {error}", stacklevel=2)
            else:
                return state
        return None

    def remove(self) -> None:
        """Delete the checkpoints."""
        for path in self.folder.glob("*.pt"):
            path.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make renames in the folder survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
