"""Normalization and integrate-and-fire neurons over a whole sequence, as one operation.

Shapes: T time steps, N images, C channels, H height, W width; what is said of (N, C, H, W) holds of
any (N, …) where nothing is normalized.

A spiking layer is little arithmetic on much memory. So nothing is kept for the gradient but the
input itself (which the gradient of a normalization needs in any case): the normalization's affine
map is part of the recurrence, and membranes are computed anew in the backward pass.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from snn_norm.neurons import kernels, recurrence
from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.standardization import Standardization

__all__ = ["fire"]


def fire(
    x_TN: Tensor,
    neuron: Neuron,
    standardization: Standardization | None = None,
    *,
    num_steps: int | None = None,
    pool: bool = False,
    membrane_N: Tensor | None = None,
    compiled: bool = False,
) -> tuple[Tensor, Tensor]:
    """Leaky integrate-and-fire neurons under the (standardized) currents ``x_TN``.

    Args:
        x_TN: (T, N, …), or (1, N, …) with ``num_steps`` for a constant current.
        neuron: its constants.
        standardization: of ``x_TN``, which is (T, N, C, H, W) then; None to take it as it is.
        num_steps: T, if ``x_TN`` is constant.
        pool: average the spikes over 2x2 squares of H and W.
        membrane_N: (N, …), to go on from the last step of an earlier call; None to start at rest.
        compiled: by :mod:`snn_norm.neurons.kernels`; the same numbers but for rounding.

    Returns:
        Spikes, in the dtype of ``x_TN`` and its memory order (compiled, images are always channels
        last), and the membrane of the last step before its reset, in float32 at least.
    """
    arguments = standardization or [None] * 6
    spikes_TN, membrane_N = _Fire.apply(  # type: ignore[no-untyped-call, unused-ignore]
        x_TN, membrane_N, neuron, num_steps or len(x_TN), pool, compiled, *arguments
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
        compiled: bool,
        *arguments: Any,
    ) -> tuple[Tensor, Tensor]:
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x_TN, membrane_N, *arguments[:4])
        ctx.flags = arguments[4:]
        ctx.neuron, ctx.pool = neuron, pool
        ctx.engine = kernels if compiled else recurrence
        standardization = _standardization(arguments[:4], ctx.flags)
        spikes: tuple[Tensor, Tensor] = ctx.engine.spikes(
            x_TN, membrane_N, neuron, num_steps, pool, standardization
        )
        return spikes

    @staticmethod
    @once_differentiable
    def backward(
        ctx: Any, grad_spikes_TN: Tensor, grad_after_N: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        x_TN, membrane_N, *tensors = ctx.saved_tensors
        standardization = _standardization(tensors, ctx.flags)
        grad_x, grad_before, grad_scale, grad_offset = ctx.engine.gradients(
            x_TN, membrane_N, grad_spikes_TN, grad_after_N, ctx.neuron, ctx.pool, standardization
        )
        if membrane_N is None:
            grad_before = None
        return grad_x, grad_before, *[None] * 6, grad_scale, grad_offset, None, None


def _standardization(
    tensors: Sequence[Tensor | None], flags: Sequence[bool | None]
) -> Standardization | None:
    return None if flags[0] is None else Standardization._make([*tensors, *flags])
