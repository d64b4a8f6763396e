"""Integrate-and-fire neurons and their gradient, computed in place, one time step after another.

:mod:`snn_norm.neurons.fused` runs this engine if nothing is compiled, by torch or by numba: each
step's tensors are processed while they are in the CPU's cache. The shapes are those of that module.

The functions of :mod:`snn_norm.neurons.kernels` compute the same without writing in place. They
cannot replace these: uncompiled, on (25, 8, 64, 32, 32) in float32 on one thread, they take 3.3 to
3.7 times as long forward and 2.4 to 2.9 times for the gradient, in twice the memory, and their
gradients differ in the last bits. The code that both share is in ``standardization`` and
``surrogates``.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.neurons.standardization import GradientInPlace, Standardization, per_image
from snn_norm.neurons.surrogates import add_gradient_


class Neuron(NamedTuple):
    """The constants of an integrate-and-fire neuron; see :class:`snn_norm.LIF`.

    A learned ``beta`` is a tensor without dimensions.
    """

    beta: float | Tensor
    threshold: float
    slope: float
    surrogate: str = "fast_sigmoid"
    reset: str = "subtract"


class Inputs(NamedTuple):
    """The inputs of a layer's neurons, the same for every engine.

    The currents ``x`` are (T, N, …), or (1, N, …) if they are constant; ``membrane``, (N, …), is
    that before the first step, None at rest. The rest is as in :func:`snn_norm.neurons.fused.fire`.
    """

    x: Tensor
    membrane: Tensor | None
    neuron: Neuron
    num_steps: int
    pool: bool
    standardization: Standardization | None


class Gradients(NamedTuple):
    """Gradients of x, of the membrane before the first step, and of the optional inputs.

    The optional inputs are a learned beta, and the scale and offset of currents and of membranes.
    """

    x: Tensor
    membrane: Tensor
    beta: Tensor | None = None
    scale: Tensor | None = None
    offset: Tensor | None = None
    membrane_scale: Tensor | None = None
    membrane_offset: Tensor | None = None


def stretches(num_steps: int, number: int) -> list[slice]:
    """The time steps, divided into ``number`` stretches of about equal length."""
    ends = [num_steps * index // number for index in range(number + 1)]
    return [slice(start, stop) for start, stop in itertools.pairwise(ends)]


def spikes(
    inputs: Inputs, on_membrane: Callable[[Tensor, int], Standardization] | None = None
) -> tuple[Tensor, Tensor]:
    """The spikes of all steps, and the last membrane.

    ``on_membrane`` returns the standardization, (C,), of a membrane at a step.
    """
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
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
        row = None if on_membrane is None else on_membrane(membrane, t)
        _fire(membrane, neuron, row, out=fired)
        if not in_place:
            spikes_TN[t].copy_(F.avg_pool2d(fired, 2) if pool else fired)
    return spikes_TN, membrane


def gradients(
    inputs: Inputs,
    grad_spikes_TN: Tensor,
    grad_after_N: Tensor | None,
    on_membrane: Standardization | None = None,
) -> Gradients:
    """Gradients of all inputs from those of the spikes and the last membrane.

    ``grad_after_N`` is the gradient of the last membrane; None for zero.
    """
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
    membranes_TN = membranes(x_TN, membrane_N, neuron, num_steps, standardization, on_membrane)
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
    on_membranes = None if on_membrane is None else GradientInPlace(on_membrane)
    grad_beta = grad.new_zeros(()) if isinstance(neuron.beta, Tensor) else None
    for t in reversed(range(num_steps)):
        membrane, grad_spikes = membranes_TN[t], grad_spikes_TN[t].to(dtype)
        if pool:
            grad_spikes = torch.ops.aten.avg_pool2d_backward(
                grad_spikes, membrane, [2, 2], [2, 2], [0, 0], False, True, None
            )
        _through_spikes(grad, grad_spikes, membrane, t, neuron, on_membranes)
        # From here on, its memory holds the gradient of x.
        if through is None:
            membrane.copy_(grad)
        else:
            through.step(t, grad, _step_of(x_TN, t), out=membrane)
        if through is None or not through.waits:
            _collect(membrane, t, grad_x_TN)
        _to_step_before(
            grad, membranes_TN[t - 1] if t else membrane_N, t, neuron, on_membrane, grad_beta
        )
    if through is not None and through.waits:
        for t in range(num_steps):
            through.finish_(membranes_TN[t], _step_of(x_TN, t))
            _collect(membranes_TN[t], t, grad_x_TN)
    sums = [(None, None) if g is None else (g.scale, g.offset) for g in (through, on_membranes)]
    return Gradients(grad_x_TN.to(x_TN.dtype), grad, grad_beta, *sums[0], *sums[1])


def _through_spikes(
    grad: Tensor,
    grad_spikes: Tensor,
    membrane: Tensor,
    t: int,
    neuron: Neuron,
    on_membranes: GradientInPlace | None,
) -> None:
    """Add the gradient through step t's spikes to that of its membrane; overwrite ``membrane``."""
    if on_membranes is None:
        above = membrane.sub_(neuron.threshold)
        add_gradient_(grad, grad_spikes, above, neuron.surrogate, neuron.slope)
        return
    normalized = on_membranes.standardization.at(t).apply(membrane, torch.empty_like(membrane))
    of_normalized = torch.zeros_like(membrane)
    above = normalized.sub_(neuron.threshold)
    add_gradient_(of_normalized, grad_spikes, above, neuron.surrogate, neuron.slope)
    on_membranes.step(t, of_normalized, membrane, out=normalized)
    grad += normalized


def _to_step_before(
    grad: Tensor,
    before: Tensor | None,
    t: int,
    neuron: Neuron,
    on_membrane: Standardization | None,
    grad_beta: Tensor | None,
) -> None:
    """Turn the gradient of step t's membrane into that of the step before; add that of beta."""
    if before is not None and neuron.reset == "zero":
        row = None if on_membrane is None else on_membrane.at(t - 1)
        fired = _fire(before, neuron, row, out=torch.empty_like(grad))
        grad.addcmul_(grad, fired, value=-1)
    if before is not None and grad_beta is not None:
        grad_beta += (grad * before).sum()
    grad *= neuron.beta


def _collect(grad: Tensor, t: int, grad_x_TN: Tensor) -> None:
    """Store step t's gradient in that of x, if it is not there, or add it if x is constant."""
    grad_x = grad_x_TN[t % len(grad_x_TN)]
    if grad_x.data_ptr() == grad.data_ptr():
        return
    if len(grad_x_TN) == 1:
        grad_x += grad
    else:
        grad_x.copy_(grad)


def _affine_map(standardization: Standardization | None) -> tuple[Tensor | None, Tensor | None]:
    """The weight and bias, (T, C, 1, 1), that standardize; None without a standardization."""
    if standardization is None:
        return None, None
    weight, bias = standardization.affine_map()
    return per_image(weight), per_image(bias)


def membranes(
    x_TN: Tensor,
    membrane_N: Tensor | None,
    neuron: Neuron,
    num_steps: int,
    standardization: Standardization | None = None,
    on_membrane: Standardization | None = None,
) -> Tensor:
    """The membranes of all steps, before their resets."""
    weight, bias = _affine_map(standardization)
    membrane, fired = _state(x_TN, membrane_N, neuron)
    membranes_TN = _sequence_of(membrane, num_steps, membrane.dtype)
    for t in range(num_steps):
        membrane = _advance(membrane, fired, x_TN, t, neuron, weight, bias, out=membranes_TN[t])
        _fire(membrane, neuron, None if on_membrane is None else on_membrane.at(t), out=fired)
    return membranes_TN


def _state(x_TN: Tensor, membrane_N: Tensor | None, neuron: Neuron) -> tuple[Tensor, Tensor]:
    """The membrane and spikes of the step before the first."""
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
    """The membrane at step t, from the membrane and spikes of the step before."""
    x = _step_of(x_TN, t)
    if neuron.reset == "zero":
        before = torch.addcmul(before, before, spikes, value=-1, out=out)
    # The order is snnTorch's, for equal rounding: the decayed membrane, plus input, minus reset.
    if weight is None or bias is None:
        torch.mul(before, neuron.beta, out=out).add_(x)
    elif isinstance(neuron.beta, Tensor):
        torch.addcmul(bias[t], before, neuron.beta, out=out).addcmul_(x, weight[t])
    else:
        torch.add(bias[t], before, alpha=neuron.beta, out=out).addcmul_(x, weight[t])
    return out.sub_(spikes, alpha=neuron.threshold) if neuron.reset == "subtract" else out


def _fire(membrane: Tensor, neuron: Neuron, row: Standardization | None, out: Tensor) -> Tensor:
    """Write the spikes of a membrane, standardized by ``row``, into ``out``, in its dtype."""
    if row is not None:
        membrane = row.apply(membrane, out)
    return torch.gt(membrane, neuron.threshold, out=out)


def _step_of(x_TN: Tensor, t: int) -> Tensor:
    """Step t of a sequence or of a constant, in the dtype of membranes."""
    return x_TN[t % len(x_TN)].to(torch.promote_types(x_TN.dtype, torch.float32))


def _sequence_of(step: Tensor, num_steps: int, dtype: torch.dtype) -> Tensor:
    """An uninitialized sequence of consecutive steps, each with the memory order of ``step``."""
    shape, strides = (num_steps, *step.shape), (step.numel(), *step.stride())
    return torch.empty_strided(shape, strides, dtype=dtype, device=step.device)
