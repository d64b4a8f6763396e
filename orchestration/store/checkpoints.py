"""A trial's checkpoints: the newest and the one before, each written whole or not at all."""

from __future__ import annotations

import io
import warnings
from typing import Any

import torch

from orchestration.store.base import Storage

_NEWEST, _PREVIOUS = "checkpoint.pt", "previous.pt"


class CheckpointStore:
    """Checkpoints of one trial, in its own folder of the checkpoint store."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def save(self, state: dict[str, Any]) -> None:
        """Save a state, and keep the one before it.

        Raises:
            OSError: the store failed; the checkpoints are unchanged.
        """
        serialized = io.BytesIO()
        torch.save(state, serialized)
        self._storage.write(_NEWEST, serialized.getvalue(), previous=_PREVIOUS)

    def load(self) -> dict[str, Any] | None:
        """The newest state that can be read; None if there is none."""
        for name in (_NEWEST, _PREVIOUS):
            data = self._storage.read(name)
            if data is None:
                continue
            try:
                state: dict[str, Any] = torch.load(
                    io.BytesIO(data), weights_only=True, map_location="cpu"
                )
            except Exception as error:  # noqa: BLE001 - a damaged file may raise anything
                warnings.warn(
                    f"{name} in {self._storage} is damaged, left out: {error}", stacklevel=2
                )
            else:
                return state
        return None

    def remove(self) -> None:
        """Delete the checkpoints."""
        self._storage.delete(_NEWEST, _PREVIOUS)
