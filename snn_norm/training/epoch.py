"""One epoch of training: its measurements, and the part of it that has been trained."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snn_norm.neurons.layers import LIF
from snn_norm.training.evaluation import Sums
from snn_norm.training.seeding import (
    derived_seed,
    generators_state,
    restore_generators,
    seed_everything,
)


@dataclass(frozen=True)
class EpochResult:
    """The measurements of one epoch: losses in nats per image, accuracies as fractions."""

    epoch: int
    """The number of the epoch, from 1."""
    train_loss: float
    train_accuracy: float
    """Measured on the epoch's training batches, while the weights changed."""
    test_loss: float
    test_accuracy: float
    images_per_second: float
    """Training images per second; the test set is not counted."""
    epoch_seconds: float
    """Training, validation and test together."""
    validation_loss: float | None = None
    """Measured on the held-out training images; None without any."""
    validation_accuracy: float | None = None
    spike_rates: dict[str, float] = field(default_factory=dict)
    """Spikes per neuron and time step on the test set, by layer; empty without spiking layers."""

    @property
    def is_finite(self) -> bool:
        """Whether no loss is NaN or infinite."""
        losses = (self.train_loss, self.validation_loss, self.test_loss)
        return all(math.isfinite(loss) for loss in losses if loss is not None)

    @property
    def selecting_accuracy(self) -> float:
        """The accuracy that selects the best epoch: on held-out images, or else on the test set."""
        held_out = self.validation_accuracy
        return self.test_accuracy if held_out is None else held_out

    def metrics(self) -> dict[str, float]:
        """The numbers by metric name, including ``spike_rate.<layer>``, without the epoch."""
        values = {name: value for name, value in asdict(self).items() if value is not None}
        del values["epoch"]
        rates = values.pop("spike_rates")
        return {**values, **{f"spike_rate.{layer}": rate for layer, rate in rates.items()}}


class EpochProgress:
    """The part of an epoch that has been trained, so that a run can be saved within an epoch.

    Creating it sets all random number generators.

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


@contextmanager
def spike_rates(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A context in which the mean output of each :class:`LIF` is collected, by layer."""
    rates: dict[str, Tensor] = {}
    batches_seen: dict[str, int] = {}

    def record(layer: str, _module: nn.Module, _inputs: object, spikes_TN: Tensor) -> None:
        # A mean of means, each weighted by its number of images and time steps.
        images = spikes_TN.shape[:2].numel()
        seen = batches_seen.get(layer, 0) + images
        mean = spikes_TN.mean(dtype=torch.float32)
        rates[layer] = rates[layer].lerp(mean, images / seen) if layer in rates else mean
        batches_seen[layer] = seen

    hooks = [
        module.register_forward_hook(partial(record, name.rpartition(".")[2]))
        for name, module in model.named_modules()
        if isinstance(module, LIF)
    ]
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()
