"""Normalization and integrate-and-fire neurons over a whole sequence, as one operation.

Shapes: T time steps, N images, C channels, H height, W width; what is said of (N, C, H, W) holds of
any (N, …) where nothing is normalized.

A spiking layer is little arithmetic on much memory. So nothing is kept for the gradient but the
input itself (which the gradient of a normalization needs in any case): the normalization's affine
map is part of the recurrence, membranes are computed anew in the backward pass, and each time
step's tensors are used up while they are in the processor's cache.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

__all__ = ["Neuron", "Standardization", "fire"]


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


def fire(
    x_TN: Tensor,
    neuron: Neuron,
    standardization: Standardization | None = None,
    *,
    num_steps: int | None = None,
    pool: bool = False,
    membrane_N: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire neurons under the (standardized) currents ``x_TN``.

    Args:
        x_TN: (T, N, …), or (1, N, …) with ``num_steps`` for a constant current.
        neuron: its constants.
        standardization: of ``x_TN``, which is (T, N, C, H, W) then; None to take it as it is.
        num_steps: T, if ``x_TN`` is constant.
        pool: average the spikes over 2x2 squares of H and W.
        membrane_N: (N, …), to go on from the last step of an earlier call; None to start at rest.

    Returns:
        Spikes, in the dtype and memory order of ``x_TN``, and the membrane of the last step before
        its reset, in float32 at least.
    """
    arguments = standardization or [None] * 5
    spikes_TN, membrane_N = _Fire.apply(  # type: ignore[no-untyped-call]
        x_TN, membrane_N, neuron, num_steps or len(x_TN), pool, *arguments
    )
    assert membrane_N is not None
    return spikes_TN, membrane_N


class _Fire(torch.autograd.Function):
    """The recurrence and its gradient, with the arguments flattened to what autograd sees."""

    @staticmethod
    def forward(
        ctx: Any,
        x_TN: Tensor,
        membrane_N: Tensor | None,
        neuron: Neuron,
        num_steps: int,
        pool: bool,
        *standardization: Any,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        *tensors, ctx.of_batch = standardization
        ctx.save_for_backward(x_TN, membrane_N, *tensors)
        ctx.neuron, ctx.num_steps, ctx.pool = neuron, num_steps, pool
        weight, bias = _affine_map(*tensors)
        return _spikes(x_TN, membrane_N, neuron, num_steps, pool, weight, bias)

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_spikes_TN: Tensor, grad_after_N: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_TN, membrane_N, *tensors = ctx.saved_tensors
        weight, bias = _affine_map(*tensors)
        membranes_TN = _membranes(x_TN, membrane_N, ctx.neuron, ctx.num_steps, weight, bias)
        standardization = (
            None if weight is None else Standardization._make([*tensors, ctx.of_batch])
        )
        grad_membrane_N = torch.zeros_like(membranes_TN[0])
        if grad_after_N is not None:
            grad_membrane_N += grad_after_N
        grad_x, grad_scale, grad_offset = _gradients(
            x_TN,
            grad_spikes_TN,
            membranes_TN,
            grad_membrane_N,
            ctx.neuron,
            ctx.pool,
            standardization,
        )
        grad_before = None if membrane_N is None else grad_membrane_N
        return grad_x, grad_before, None, None, None, None, None, grad_scale, grad_offset, None


def _affine_map(
    mean: Tensor | None,
    inverse_deviation: Tensor | None,
    scale: Tensor | None,
    offset: Tensor | None,
) -> tuple[Tensor | None, Tensor | None]:
    """Weight and bias, (T, C, 1, 1), that standardize; None where nothing does."""
    if mean is None or inverse_deviation is None or scale is None or offset is None:
        return None, None
    weight = inverse_deviation * scale
    return weight[..., None, None], (offset - mean * weight)[..., None, None]


def _spikes(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    neuron: Neuron,
    num_steps: int,
    pool: bool,
    weight: Tensor | None,
    bias: Tensor | None,
) -> tuple[Tensor, Tensor]:
    """Spikes of all steps, and the last membrane."""
    before, spikes = _state(x_TN, membrane_N, neuron)
    membrane = torch.empty_like(before)
    output = F.avg_pool2d(spikes, 2) if pool else spikes
    spikes_TN = _sequence_of(output, num_steps, x_TN.dtype)
    in_place = not pool and x_TN.dtype == membrane.dtype
    for t in range(num_steps):
        before = _advance(before, spikes, x_TN, t, neuron, weight, bias, out=membrane)
        if in_place:
            spikes = spikes_TN[t]
        torch.gt(membrane, neuron.threshold, out=spikes)
        if not in_place:
            spikes_TN[t].copy_(F.avg_pool2d(spikes, 2) if pool else spikes)
    return spikes_TN, membrane


def _membranes(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    neuron: Neuron,
    num_steps: int,
    weight: Tensor | None,
    bias: Tensor | None,
) -> Tensor:
    """The membranes of all steps, before their resets."""
    membrane, spikes = _state(x_TN, membrane_N, neuron)
    membranes_TN = _sequence_of(membrane, num_steps, membrane.dtype)
    for t in range(num_steps):
        membrane = _advance(membrane, spikes, x_TN, t, neuron, weight, bias, out=membranes_TN[t])
        torch.gt(membrane, neuron.threshold, out=spikes)
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


def _gradients(
    x_TN: Tensor,
    grad_spikes_TN: Tensor,
    membranes_TN: Tensor,
    grad: Tensor,
    neuron: Neuron,
    pool: bool,
    standardization: Standardization | None,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Gradients of x, scale and offset.

    ``membranes_TN`` is used up. ``grad``, of the last membrane, becomes that of the membrane before
    the first step.
    """
    num_steps, dtype = len(membranes_TN), membranes_TN.dtype
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
    return grad_x_TN.to(x_TN.dtype), grad_scale, grad_offset


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
