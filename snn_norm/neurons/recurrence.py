"""Integrate-and-fire neurons, time step by time step and in place; and their gradient.

What :mod:`snn_norm.neurons.fused` runs where nothing is compiled: each step's tensors are used up
while they are in the processor's cache. Shapes as there.

The functions of :mod:`snn_norm.neurons.kernels` say the same with nothing in place, and do not
serve here: uncompiled, on (25, 8, 64, 32, 32) in float32 on one thread, they take 3.3 to 3.7 times
as long forward and 2.4 to 2.9 times for the gradient, in twice the memory, and their gradients
differ in the last bits. What is the same in both is in ``standardization`` and ``surrogates``.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.neurons.standardization import GradientInPlace, Standardization
from snn_norm.neurons.surrogates import add_gradient_

__all__ = ["Neuron", "gradients", "spikes", "stretches"]


class Neuron(NamedTuple):
    """The constants of a leaky integrate-and-fire neuron; see :class:`snn_norm.LIF`."""

    beta: float
    threshold: float
    slope: float


def stretches(num_steps: int, number: int) -> list[slice]:
    """The time steps in so many stretches of about equal length."""
    ends = [num_steps * index // number for index in range(number + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def spikes(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    neuron: Neuron,
    num_steps: int,
    pool: bool,
    standardization: Standardization | None,
) -> tuple[Tensor, Tensor]:
    """Spikes of all steps, and the last membrane."""
    weight, bias = _affine_map(standardization)
    before, fired = _state(x_TN, membrane_N, neuron)
    membrane = torch.empty_like(before)
    output = F.avg_pool2d(fired, 2) if pool else fired
    spikes_TN = _sequence_of(output, num_steps, x_TN.dtype)
    in_place = not pool and x_TN.dtype == membrane.dtype
    for t in range(num_steps):
        before = _advance(before, fired, x_TN, t, neuron, weight, bias, out=membrane)
        if in_place:
            fired = spikes_TN[t]
        torch.gt(membrane, neuron.threshold, out=fired)
        if not in_place:
            spikes_TN[t].copy_(F.avg_pool2d(fired, 2) if pool else fired)
    return spikes_TN, membrane


def gradients(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    grad_spikes_TN: Tensor,
    grad_after_N: Tensor | None,
    neuron: Neuron,
    pool: bool,
    standardization: Standardization | None,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """Gradients of x, of the membrane before the first step, of scale and of offset.

    ``grad_after_N`` is that of the last membrane; None for zero.
    """
    num_steps = len(grad_spikes_TN)
    membranes_TN = _membranes(x_TN, membrane_N, neuron, num_steps, standardization)
    dtype = membranes_TN.dtype
    grad = torch.zeros_like(membranes_TN[0])
    if grad_after_N is not None:
        grad += grad_after_N
    constant = len(x_TN) < num_steps
    in_place = not constant and x_TN.dtype == dtype
    grad_x_TN = (
        membranes_TN if in_place else torch.zeros_like(x_TN, dtype=dtype if constant else None)
    )
    through = None if standardization is None else GradientInPlace(standardization)
    for t in reversed(range(num_steps)):
        buffer, grad_spikes = membranes_TN[t], grad_spikes_TN[t].to(dtype)
        if pool:
            grad_spikes = torch.ops.aten.avg_pool2d_backward(
                grad_spikes, buffer, [2, 2], [2, 2], [0, 0], False, True, None
            )
        add_gradient_(grad, grad_spikes, buffer.sub_(neuron.threshold), neuron.slope)
        if through is None:
            buffer.copy_(grad)
        else:
            through.step(t, grad, _step_of(x_TN, t), out=buffer)
        if through is None or not through.waits:
            _collect(buffer, t, grad_x_TN)
        grad *= neuron.beta
    if through is not None and through.waits:
        for t in range(num_steps):
            through.finish_(membranes_TN[t], _step_of(x_TN, t))
            _collect(membranes_TN[t], t, grad_x_TN)
    grad_x_TN = grad_x_TN.to(x_TN.dtype)
    return grad_x_TN, grad, *((None, None) if through is None else (through.scale, through.offset))


def _collect(grad: Tensor, t: int, grad_x_TN: Tensor) -> None:
    """Take step t's gradient into that of x, a constant's from all steps; it may lie there."""
    grad_x = grad_x_TN[t % len(grad_x_TN)]
    if len(grad_x_TN) == 1 and grad_x.data_ptr() != grad.data_ptr():
        grad_x += grad
    elif grad_x.data_ptr() != grad.data_ptr():
        grad_x.copy_(grad)


def _affine_map(standardization: Standardization | None) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias, (T, C, 1, 1), that standardize; None where nothing does."""
    if standardization is None:
        return None, None
    weight, bias = standardization.affine_map()
    return weight[..., None, None], bias[..., None, None]


def _membranes(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    neuron: Neuron,
    num_steps: int,
    standardization: Standardization | None,
) -> Tensor:
    """The membranes of all steps, before their resets."""
    weight, bias = _affine_map(standardization)
    membrane, fired = _state(x_TN, membrane_N, neuron)
    membranes_TN = _sequence_of(membrane, num_steps, membrane.dtype)
    for t in range(num_steps):
        membrane = _advance(membrane, fired, x_TN, t, neuron, weight, bias, out=membranes_TN[t])
        torch.gt(membrane, neuron.threshold, out=fired)
    return membranes_TN


def _state(x_TN: Tensor, membrane_N: Tensor | None, neuron: Neuron) -> tuple[Tensor, Tensor]:
    """Membrane and spikes of the step before the first."""
    membrane = torch.zeros_like(_step_of(x_TN, 0)) if membrane_N is None else membrane_N
    return membrane, torch.gt(membrane, neuron.threshold).to(membrane.dtype)


def _advance(
    before: Tensor,
    spikes: Tensor,
    x_TN: Tensor,
    t: int,
    neuron: Neuron,
    weight: Tensor | None,
    bias: Tensor | None,
    out: Tensor,
) -> Tensor:
    """The membrane at step t, from that and the spikes of the step before."""
    x = _step_of(x_TN, t)
    # Rounded in snnTorch's order: the decayed membrane, plus input, minus reset.
    if weight is None or bias is None:
        torch.mul(before, neuron.beta, out=out).add_(x)
    else:
        torch.add(bias[t], before, alpha=neuron.beta, out=out).addcmul_(x, weight[t])
    return out.sub_(spikes, alpha=neuron.threshold)


def _step_of(x_TN: Tensor, t: int) -> Tensor:
    """Step t of a sequence or of a constant, in the precision of membranes."""
    return x_TN[t % len(x_TN)].to(torch.promote_types(x_TN.dtype, torch.float32))


def _sequence_of(step: Tensor, num_steps: int, dtype: torch.dtype) -> Tensor:
    """An empty sequence whose steps lie in memory as ``step`` does, one after the other."""
    shape, strides = (num_steps, *step.shape), (step.numel(), *step.stride())
    return torch.empty_strided(shape, strides, dtype=dtype, device=step.device)
