"""The measurements of one epoch of training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

import torch
from torch import Tensor, nn

from snn_norm.neurons.layers import LIF


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


@contextmanager
def spike_rates(model: nn.Module) -> Iterator[dict[str, Tensor]]:
    """A context in which the mean output of each :class:`LIF` is collected, by layer."""
    rates: dict[str, Tensor] = {}
    batches_seen: dict[str, int] = {}

    def record(layer: str, spikes_TN: Tensor) -> None:
        # A mean of means, each weighted by its number of images and time steps.
        images = spikes_TN.shape[:2].numel()
        seen = batches_seen.get(layer, 0) + images
        mean = spikes_TN.mean(dtype=torch.float32)
        rates[layer] = rates[layer].lerp(mean, images / seen) if layer in rates else mean
        batches_seen[layer] = seen

    layers = {module: name for name, module in model.named_modules() if isinstance(module, LIF)}
    hooks = [
        module.register_forward_hook(
            lambda module, _inputs, spikes: record(layers[module].rpartition(".")[2], spikes)
        )
        for module in layers
    ]
    try:
        yield rates
    finally:
        for hook in hooks:
            hook.remove()
