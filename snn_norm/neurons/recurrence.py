"""Leaky integrate-and-fire neurons, time step by time step and in place; and their gradient.

What :mod:`snn_norm.neurons.fused` runs where nothing is compiled: each step's tensors are used up
while they are in the processor's cache. Shapes as there.
"""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["Neuron", "Standardization", "gradients", "spikes", "stretches"]


class Neuron(NamedTuple):
    """The constants of a leaky integrate-and-fire neuron; see :class:`snn_norm.LIF`."""

    beta: float
    threshold: float
    slope: float


class Standardization(NamedTuple):
    """The map y = (x - mean) · inverse_deviation · scale + offset of each (step, channel), (T, C).

    With ``of_batch`` the statistics are those of x itself, and the gradient is that of batch
    normalization; else they are constants.
    """

    mean: Tensor
    inverse_deviation: Tensor
    scale: Tensor
    offset: Tensor
    of_batch: bool

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """The same as weight and bias, (T, C)."""
        weight = self.inverse_deviation * self.scale
        return weight, self.offset - self.mean * weight


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
    grad_scale, grad_offset = (
        (None, None)
        if standardization is None
        else (torch.empty_like(standardization.scale), torch.empty_like(standardization.offset))
    )
    one = torch.ones((), dtype=dtype, device=x_TN.device)
    for t in reversed(range(num_steps)):
        buffer, grad_spikes = membranes_TN[t], grad_spikes_TN[t].to(dtype)
        if pool:
            grad_spikes = torch.ops.aten.avg_pool2d_backward(
                grad_spikes, buffer, [2, 2], [2, 2], [0, 0], False, True, None
            )
        # The fast sigmoid's slope is 1 / (1 + k·|v - threshold|)².
        buffer.sub_(neuron.threshold).abs_()
        torch.add(one, buffer, alpha=neuron.slope, out=buffer).square_()
        grad.addcdiv_(grad_spikes, buffer)
        if standardization is None or grad_scale is None or grad_offset is None:
            buffer.copy_(grad)
        else:
            x = _step_of(x_TN, t)
            grad_scale[t], grad_offset[t] = _through_standardization(
                grad, x, t, standardization, out=buffer
            )
        if constant:
            grad_x_TN[0] += buffer
        elif not in_place:
            grad_x_TN[t] = buffer
        grad *= neuron.beta
    return grad_x_TN.to(x_TN.dtype), grad, grad_scale, grad_offset


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


def _through_standardization(
    grad: Tensor, x: Tensor, t: int, standardization: Standardization, out: Tensor
) -> tuple[Tensor, Tensor]:
    """Write the gradient of ``x`` into ``out``; give those of the scale and offset of step t."""
    mean, inverse_deviation, scale, _ = (values_TC[t] for values_TC in standardization[:4])
    dims = (0, 2, 3)
    grad_offset = grad.sum(dims)
    grad_scale = torch.mul(grad, x, out=out).sum(dims).sub_(mean * grad_offset)
    grad_scale *= inverse_deviation
    weight = (inverse_deviation * scale)[:, None, None]
    if not standardization.of_batch:
        torch.mul(grad, weight, out=out)
        return grad_scale, grad_offset
    # weight · (grad - mean(grad) - x̂ · mean(grad · x̂)), as a map of x and a map of grad.
    values = x.numel() // x.shape[1]
    of_x = grad_scale * inverse_deviation / -values
    constant = grad_offset / -values - of_x * mean
    torch.addcmul(constant[:, None, None], x, of_x[:, None, None], out=out).add_(grad)
    out.mul_(weight)
    return grad_scale, grad_offset


def _step_of(x_TN: Tensor, t: int) -> Tensor:
    """Step t of a sequence or of a constant, in the precision of membranes."""
    return x_TN[t % len(x_TN)].to(torch.promote_types(x_TN.dtype, torch.float32))


def _sequence_of(step: Tensor, num_steps: int, dtype: torch.dtype) -> Tensor:
    """An empty sequence whose steps lie in memory as ``step`` does, one after the other."""
    shape, strides = (num_steps, *step.shape), (step.numel(), *step.stride())
    return torch.empty_strided(shape, strides, dtype=dtype, device=step.device)
