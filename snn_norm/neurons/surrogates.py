r"""Surrogate gradients, which replace the derivative of a spike, as that has none.

With u = v - θ and the slope k they are

============ ============================== ================================================
fast_sigmoid 1 / (1 + k·abs(u))²            Zenke and Ganguli 2018; snnTorch, scaled to 1 at 0
atan         (k/2) / (1 + (π·k·u/2)²)       Fang et al. 2021; snnTorch, SpikingJelly
triangle     k·max(0, 1 - k·abs(u))         Deng et al. 2022 (TET), k = 1/γ; SpikingJelly's
                                            PiecewiseQuadratic. snnTorch's is another: ±θ
rectangle    k·[abs(u) < 1/(2k)]            Wu et al. 2018 (STBP), k = 1/a; SpikingJelly's Rect
sigmoid      k·σ(k·u)·(1 - σ(k·u))          snnTorch (its slope is 25), SpikingJelly (4, as here)
============ ============================== ================================================

All but the fast sigmoid have the integral 1, so a larger slope also makes them higher.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def add_gradient_(
    grad: Tensor, grad_spikes: Tensor, above: Tensor, surrogate: str, slope: float
) -> None:
    """Add the gradient through the spikes to that of the membranes, in place.

    Args:
        grad: gradient of the membranes, (N, …).
        grad_spikes: gradient of the spikes, (N, …).
        above: membranes minus the threshold, v - θ, (N, …); overwritten.
        surrogate: a name in :data:`snn_norm.neurons.table.SURROGATES`.
        slope: k, greater than 0.
    """
    _ADD[surrogate](grad, grad_spikes, above, slope)


def _fast_sigmoid(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    grad.addcdiv_(grad_spikes, _one_and(above.abs_(), slope).square_())


def _atan(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    squares = above.mul_(math.pi / 2 * slope).square_()
    grad.addcdiv_(grad_spikes, squares.add_(1), value=slope / 2)


def _triangle(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    grad.addcmul_(grad_spikes, _one_and(above.abs_(), -slope).clamp_(min=0), value=slope)


def _rectangle(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    grad.addcmul_(grad_spikes, above.abs_().lt_(1 / (2 * slope)), value=slope)


def _sigmoid(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    sigmoid = above.mul_(slope).sigmoid_()
    grad.addcmul_(grad_spikes, sigmoid.addcmul_(sigmoid, sigmoid, value=-1), value=slope)


def _one_and(values: Tensor, factor: float) -> Tensor:
    """1 + factor · values, in place."""
    return torch.add(values.new_ones(()), values, alpha=factor, out=values)


_ADD = {
    "fast_sigmoid": _fast_sigmoid,
    "atan": _atan,
    "triangle": _triangle,
    "rectangle": _rectangle,
    "sigmoid": _sigmoid,
}
