"""A few numbers about the currents, membranes, spikes and gradients of one layer on a batch.

Shapes: T time steps, N images, then a layer's units, (C,) or (C, H, W); ``x_TN`` stands for
(T, N, …). Rectified linear units are treated as neurons with one step and the threshold 0, whose
membrane is their input.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.surrogates import add_gradient_


class LayerNumbers:
    """Accumulates the numbers of a layer's units of one shape, one stretch of time steps at a time.

    Args:
        neuron: the constants of the units; None for rectified linear ones.
    """

    def __init__(self, neuron: Neuron | None) -> None:
        self._neuron = neuron
        self._threshold = 0.0 if neuron is None else neuron.threshold
        self._chances = 0  # the number of times that each unit could have fired
        self._fired: Tensor | None = None
        self._support: list[Tensor] = []
        self._currents: list[_Moments] = []
        self._membranes: list[_Moments] = []
        self._squares: list[Tensor] = []

    def add(self, currents_TN: Tensor, membranes_TN: Tensor) -> None:
        """Add some time steps: the units' currents, and the membranes at the threshold."""
        for currents_N, membranes_N in zip(currents_TN, membranes_TN, strict=True):
            fired = (membranes_N > self._threshold).sum(0)
            self._fired = fired if self._fired is None else self._fired + fired
            self._chances += len(membranes_N)
            self._membranes.append(_by_channel(membranes_N))
            if self._neuron is not None:
                self._currents.append(_by_channel(currents_N))
                above = membranes_N.float() - self._threshold
                self._support.append(_derivative(above, self._neuron).mean())

    def add_gradient(self, grad_TN: Tensor) -> None:
        """Add the loss's gradient with respect to the currents of some time steps."""
        self._squares.append(grad_TN.float().square().sum())

    def numbers(self) -> dict[str, Tensor]:
        """The diagnostics that exist, by name, as tensors without dimensions."""
        assert self._fired is not None
        membranes = _joined(self._membranes)
        mean = membranes.mean.mean()
        rate = self._fired.double().mean() / self._chances
        found = {
            "rate": rate,
            "support": torch.stack(self._support).double().mean() if self._support else rate,
            "silent": (self._fired == 0).double().mean(),
            "saturated": (self._fired == self._chances).double().mean(),
            "margin": (self._threshold - mean) / membranes.deviation(),
        }
        if self._squares:
            found["gradient"] = torch.stack(self._squares).double().sum().sqrt()
        if self._currents:
            found["shift"] = _joined(self._currents).between_steps()
        return found

    @property
    def units(self) -> int:
        """The number of units."""
        return 0 if self._fired is None else self._fired.numel()


def combined(parts: list[LayerNumbers]) -> dict[str, Tensor]:
    """The numbers of a layer with units of several shapes: means over all its units.

    For gradients, it is the norm of all of them.
    """
    if len(parts) == 1:
        return parts[0].numbers()
    found: dict[str, list[tuple[Tensor, int]]] = {}
    for part in parts:
        for name, value in part.numbers().items():
            found.setdefault(name, []).append((value, part.units))
    total: dict[str, Tensor] = {}
    for name, pairs in found.items():
        values = torch.stack([value for value, _ in pairs])
        units = values.new_tensor([number for _, number in pairs])
        if name == "gradient":
            total[name] = values.square().sum().sqrt()
        else:
            total[name] = (values * units).sum() / units.sum()
    return total


class _Moments(NamedTuple):
    """Mean and variance of each channel, (C,) for one step or (T, C), over equally many values."""

    mean: Tensor
    var: Tensor

    def deviation(self) -> Tensor:
        """The standard deviation of all values together."""
        return (self.var.mean() + self.mean.var(correction=0)).sqrt()

    def between_steps(self) -> Tensor:
        """The share of the variance that lies between the steps' means, averaged over channels."""
        between = self.mean.var(0, correction=0).mean()
        return between / (between + self.var.mean())


def _by_channel(values_N: Tensor) -> _Moments:
    """The moments of one step, (N, C, …)."""
    dims = [dim for dim in range(values_N.dim()) if dim != 1]
    var, mean = torch.var_mean(values_N.float(), dims, correction=0)
    return _Moments(mean.double(), var.double())


def _joined(steps: list[_Moments]) -> _Moments:
    return _Moments(*map(torch.stack, zip(*steps, strict=True)))


def _derivative(above: Tensor, neuron: Neuron) -> Tensor:
    """The surrogate's derivative at u - θ, relative to that at 0; ``above`` is overwritten."""
    found, highest = torch.zeros_like(above), above.new_zeros(())
    add_gradient_(found, torch.ones_like(above), above, neuron.surrogate, neuron.slope)
    one, zero = above.new_ones(()), above.new_zeros(())
    add_gradient_(highest, one, zero, neuron.surrogate, neuron.slope)
    return found / highest
