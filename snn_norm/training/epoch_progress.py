"""The part of an epoch that has been trained, so that a run can be saved within an epoch."""

from __future__ import annotations

import time
from typing import Any

import torch

from snn_norm.training.evaluation import Sums
from snn_norm.training.seeding import (
    derived_seed,
    generators_state,
    restore_generators,
    seed_everything,
)


class EpochProgress:
    """The progress of an epoch's training. Creating it sets all random number generators.

    Args:
        seed: the seed of the run.
        epoch: the number of the epoch, from 1.
        device: the device of the run.
        state: the :meth:`state_dict` from which the epoch goes on; None at its beginning.

    Attributes:
        order: draws the order of the epoch's images, from the beginning in every process.
        augmentation: draws the changes of the images of the next batch.
        sums: loss and accuracy of the batches so far.
    """

    def __init__(
        self, seed: int, epoch: int, device: torch.device, state: dict[str, Any] | None = None
    ) -> None:
        seed_everything(derived_seed(seed, f"epoch {epoch}"))
        self.order, self.augmentation = (
            torch.Generator().manual_seed(derived_seed(seed, f"{use} {epoch}"))
            for use in ("order", "augmentation")
        )
        self.sums = Sums(device)
        self._started = time.perf_counter()
        if state is not None:
            self._started -= state["seconds"]
            self.sums.load_state_dict(state["sums"])
            self.augmentation.set_state(state["augmentation"])
            restore_generators(state["generators"])

    @property
    def seconds(self) -> float:
        """How long the epoch has been trained, in this process and in those before."""
        return time.perf_counter() - self._started

    def state_dict(self) -> dict[str, Any]:
        """All that another process needs to go on with the next batch, besides the network."""
        return {
            "seconds": self.seconds,
            "sums": self.sums.state_dict(),
            "augmentation": self.augmentation.get_state(),
            "generators": generators_state(),
        }
