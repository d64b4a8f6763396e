"""Integrate-and-fire neurons with ``torch.compile``: a few time steps in one kernel.

This is the mathematics of :mod:`snn_norm.neurons.recurrence`, with the same numbers up to rounding.
Norms on the membrane are not supported, since their statistics would have to be known before the
next step begins. The membranes of the few steps stay in registers, so that only currents, spikes
and gradients are moved to and from memory. Nothing is written in place here, since the compiler
would first have to undo that.

Shapes as in :mod:`snn_norm.neurons.fused`, but channels come last here: (T, N, H, W, C).
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.neurons.recurrence import Gradients, Inputs, Neuron, stretches
from snn_norm.neurons.standardization import Standardization
from snn_norm.neurons.surrogates import add_gradient_

_STEPS_AT_ONCE = 8
"""The largest number of time steps in a kernel. More steps would save little more memory traffic,
and this many compile in seconds."""

_KERNELS = 64
"""The largest number of kernels of one function. Each kind of layer and number of steps needs up to
two: the first for its own sizes, the second for any."""


def spikes(inputs: Inputs) -> tuple[Tensor, Tensor]:
    """The spikes of all steps, and the last membrane."""
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
    x_TN = channels_last(x_TN, 2)
    membrane_N = _before(x_TN, membrane_N)
    parts = []
    for steps in _parts(num_steps):
        part, membrane_N = _kernel(_spikes)(
            *_at(steps, x_TN, standardization), membrane_N, neuron, steps.stop - steps.start, pool
        )
        parts.append(part)
    return channels_second(_joined(parts), 2), channels_second(membrane_N, 1)


def gradients(inputs: Inputs, grad_spikes_TN: Tensor, grad_after_N: Tensor | None) -> Gradients:
    """Gradients of all inputs, as :func:`snn_norm.neurons.recurrence.gradients`."""
    x_TN, membrane_N, neuron, num_steps, pool, standardization = inputs
    x_TN, grad_spikes_TN = channels_last(x_TN, 2), channels_last(grad_spikes_TN, 2)
    parts = _parts(num_steps)
    befores = [_before(x_TN, membrane_N)]
    for steps in parts[:-1]:
        arguments = (*_at(steps, x_TN, standardization), befores[-1], neuron)
        befores.append(_kernel(_last_membrane)(*arguments, steps.stop - steps.start))
    grad = torch.zeros_like(befores[0])
    if grad_after_N is not None:
        grad = channels_last(grad_after_N, 1)
    grads: list[tuple[Tensor, ...]] = []
    for steps in reversed(parts):
        grad, *of_part = _kernel(_gradients)(
            *_at(steps, x_TN, standardization),
            befores.pop(),
            neuron,
            steps.stop - steps.start,
            pool,
            grad_spikes_TN[steps],
            grad,
        )
        grads.insert(0, tuple(of_part))
    of_x, of_beta, of_scale, of_offset = zip(*grads, strict=True)
    grad_scale = grad_offset = None
    if standardization is not None:
        grad_scale, grad_offset = _joined(of_scale), _joined(of_offset)
        if standardization.of_batch and standardization.over_time:
            maps = standardization.detach().input_map(grad_scale, grad_offset, _values(x_TN))
            of_x = tuple(
                _kernel(_to_input)(_at(steps, x_TN, None)[0], begun, *maps)
                for steps, begun in zip(parts, of_x, strict=True)
            )
    constant = len(x_TN) < num_steps
    grad_x_TN = functools.reduce(torch.add, of_x) if constant else _joined(of_x)
    return Gradients(
        channels_second(grad_x_TN.to(x_TN.dtype), 2),
        channels_second(grad, 1),
        None if of_beta[0] is None else functools.reduce(torch.add, of_beta),
        grad_scale,
        grad_offset,
    )


def _spikes(
    x_TN: Tensor,
    standardization: Standardization | None,
    membrane_N: Tensor,
    neuron: Neuron,
    num_steps: int,
    pool: bool,
) -> tuple[Tensor, Tensor]:
    membranes = _membranes(x_TN, standardization, membrane_N, neuron, num_steps)
    fired = torch.stack([(membrane > neuron.threshold).to(x_TN.dtype) for membrane in membranes])
    if pool:
        fired = F.avg_pool2d(fired.flatten(0, 1).movedim(-1, 1), 2).movedim(1, -1)
        # unflatten cannot be compiled if a default device is set.
        fired = fired.reshape(num_steps, -1, *fired.shape[1:])
    return fired, membranes[-1]


def _last_membrane(*arguments: Any) -> Tensor:
    return _membranes(*arguments)[-1]


def _gradients(
    x_TN: Tensor,
    standardization: Standardization | None,
    membrane_N: Tensor,
    neuron: Neuron,
    num_steps: int,
    pool: bool,
    grad_spikes_TN: Tensor,
    grad: Tensor,
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None, Tensor | None]:
    membranes = _membranes(x_TN, standardization, membrane_N, neuron, num_steps)
    befores, grads, grad = [membrane_N, *membranes], [], grad.clone()
    products = torch.zeros_like(grad)
    for t in reversed(range(num_steps)):
        grad_spikes = grad_spikes_TN[t].to(grad.dtype)
        if pool:
            grad_spikes = _spread(grad_spikes, *membrane_N.shape[1:3])
        above = membranes[t] - neuron.threshold
        add_gradient_(grad, grad_spikes, above, neuron.surrogate, neuron.slope)
        grads.append(grad)
        if neuron.reset == "zero":
            grad = torch.where(befores[t] > neuron.threshold, 0.0, grad)
        products = products + grad * befores[t]
        grad = grad * neuron.beta
    grad_beta = products.sum() if isinstance(neuron.beta, Tensor) else None
    grads_TN = torch.stack(grads[::-1])
    if standardization is None:
        return grad, _of_each_step(grads_TN, x_TN), grad_beta, None, None
    dims = (1, 2, 3)
    grad_offset = grads_TN.sum(dims)
    grad_scale = standardization.grad_scale((grads_TN * x_TN).sum(dims), grad_offset)
    if not standardization.of_batch:
        weight, _ = standardization.affine_map()
        grads_TN = _of_each_step(grads_TN * _per_image(weight), x_TN)
    elif standardization.over_time:  # the remaining terms need the gradients of all steps
        grads_TN = grads_TN * _per_image(standardization.scale)
    else:
        maps = standardization.input_map(grad_scale, grad_offset, _values(x_TN))
        grads_TN = _to_input(x_TN, grads_TN, *maps)
    return grad, grads_TN, grad_beta, grad_scale, grad_offset


def _to_input(
    x_TNHWC: Tensor, grads_TNHWC: Tensor, constant: Tensor, of_x: Tensor, weight: Tensor
) -> Tensor:
    """Gradient of x by :meth:`Standardization.input_map`."""
    constant, of_x, weight = map(_per_image, (constant, of_x, weight))
    return _of_each_step((constant + x_TNHWC * of_x + grads_TNHWC) * weight, x_TNHWC)


def _of_each_step(grads_TN: Tensor, x_TN: Tensor) -> Tensor:
    """The gradients in the dtype of x, or their sum if x has one step and may be a constant."""
    if len(x_TN) == 1:  # gradients of the constant from other steps may follow
        return grads_TN.sum(0, keepdim=True)
    return grads_TN.to(x_TN.dtype)


def _per_image(values: Tensor) -> Tensor:
    """Reshape (T, C) to broadcast with (T, N, H, W, C); (C,) is returned as it is."""
    return values if values.dim() == 1 else values[:, None, None, None]


def _values(x_TNHWC: Tensor) -> int:
    return x_TNHWC[0, ..., 0].numel()


def _membranes(
    x_TN: Tensor,
    standardization: Standardization | None,
    membrane: Tensor,
    neuron: Neuron,
    num_steps: int,
) -> list[Tensor]:
    """The membranes of all steps, before their resets."""
    membranes = []
    for t in range(num_steps):
        fired = membrane > neuron.threshold
        if neuron.reset == "zero":
            membrane = torch.where(fired, 0.0, membrane)
        x = x_TN[t % len(x_TN)].to(membrane.dtype)
        if standardization is None:
            membrane = neuron.beta * membrane + x
        else:
            weight_TC, bias_TC = standardization.affine_map()
            membrane = torch.addcmul(neuron.beta * membrane + bias_TC[t], x, weight_TC[t])
        if neuron.reset == "subtract":
            membrane = membrane - fired.to(membrane.dtype) * neuron.threshold
        membranes.append(membrane)
    return membranes


def _spread(grad_NHWC: Tensor, height: int, width: int) -> Tensor:
    """The gradient of an average over 2x2 squares; zero in the rim that an odd size leaves."""
    images, rows, columns, channels = grad_NHWC.shape
    squares = (grad_NHWC / 4)[:, :, None, :, None].expand(-1, -1, 2, -1, 2, -1)
    spread = squares.reshape(images, 2 * rows, 2 * columns, channels)
    return F.pad(spread, (0, 0, 0, width - 2 * columns, 0, height - 2 * rows))


@functools.cache
def _kernel(function: Callable[..., Any]) -> Callable[..., Any]:
    # A call compiles few kernels, and parallel compile processes would needlessly stay alive.
    torch._inductor.config.compile_threads = 1
    # torch 2.7 renamed this to recompile_limit, but still accepts this name.
    torch._dynamo.config.cache_size_limit = max(torch._dynamo.config.cache_size_limit, _KERNELS)
    # Otherwise the second neuron's constants become arguments, which Triton reads as float32.
    torch._dynamo.config.specialize_float = True
    # Otherwise the steps of one kernel are split into several kernels.
    return torch.compile(function, fullgraph=True, options={"max_fusion_size": 4096})


def _parts(num_steps: int) -> list[slice]:
    """The time steps, divided into those of each kernel."""
    return stretches(num_steps, -(-num_steps // _STEPS_AT_ONCE))


def _joined(parts: list[Tensor] | tuple[Tensor, ...]) -> Tensor:
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _at(
    steps: slice, x_TN: Tensor, standardization: Standardization | None
) -> tuple[Tensor, Standardization | None]:
    """Currents and standardization at these steps; a constant current is the same at each."""
    if standardization is not None:
        standardization = standardization.detach().at(steps)
    return x_TN if len(x_TN) == 1 else x_TN[steps], standardization


def _before(x_TN: Tensor, membrane_N: Tensor | None) -> Tensor:
    if membrane_N is not None:
        return channels_last(membrane_N, 1)
    return torch.zeros_like(x_TN[0], dtype=torch.promote_types(x_TN.dtype, torch.float32))


def channels_last(tensor: Tensor, leading: int) -> Tensor:
    """Move the channels of images after ``leading`` dimensions to the end, (…, H, W, C).

    Tensors of other numbers of dimensions keep their order.
    """
    tensor = tensor.detach()  # else the compiler would trace its graph
    return (tensor.movedim(leading, -1) if tensor.dim() == leading + 3 else tensor).contiguous()


def channels_second(tensor: Tensor, leading: int) -> Tensor:
    """The inverse of :func:`channels_last`."""
    return tensor.movedim(-1, leading) if tensor.dim() == leading + 3 else tensor
