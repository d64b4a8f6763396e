"""Leaky integrate-and-fire neurons over a whole sequence at once.

Shapes: T time steps come first; whatever follows is element-wise. ``x_TN`` stands for (T, N, …).
The semantics, reset and surrogate gradient included, are those of ``snntorch.Leaky`` with
``reset_mechanism="subtract"`` and ``snntorch.surrogate.fast_sigmoid``, which the tests hold it to.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["LIF", "LeakyReadout"]


class LIF(nn.Module):
    r"""Leaky integrate-and-fire neurons that reset by subtraction.

    .. math::
        v_t = \beta v_{t-1} + x_t - \theta\,[v_{t-1} > \theta], \qquad s_t = [v_t > \theta],
        \qquad v_{-1} = 0

    with the fast sigmoid's surrogate gradient
    :math:`\partial s / \partial v = (1 + k\,|v - \theta|)^{-2}` and the reset held constant.

    Args:
        beta: decay of the membrane a time step, 0 to 1.
        threshold: θ, the membrane at which a spike is fired.
        slope: k of the surrogate gradient; the larger, the narrower.

    Shape:
        Input currents (T, N, …); output spikes, 0 or 1, of the same shape, dtype and memory order.
    """

    def __init__(self, beta: float = 0.9, threshold: float = 1.0, slope: float = 25.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold
        self.slope = slope

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return f"beta={self.beta}, threshold={self.threshold}, slope={self.slope}"

    def forward(self, x_TN: Tensor) -> Tensor:
        """Spikes of the input currents ``x_TN``."""
        spikes_TN: Tensor = _LIFSequence.apply(x_TN, self.beta, self.threshold, self.slope)
        return spikes_TN


class _LIFSequence(torch.autograd.Function):
    """The recurrence and its gradient; only the membrane is kept, spikes follow from it."""

    @staticmethod
    def forward(ctx: Any, x_TN: Tensor, beta: float, threshold: float, slope: float) -> Tensor:
        membrane_TN, spikes_TN = torch.empty_like(x_TN), torch.empty_like(x_TN)
        for t, x in enumerate(x_TN):
            membrane = membrane_TN[t]
            if t == 0:
                membrane.copy_(x)
            else:
                # Rounded in snnTorch's order: the decayed membrane, plus input, minus reset.
                torch.mul(membrane_TN[t - 1], beta, out=membrane)
                membrane.add_(x).sub_(spikes_TN[t - 1], alpha=threshold)
            torch.gt(membrane, threshold, out=spikes_TN[t])
        ctx.save_for_backward(membrane_TN)
        ctx.constants = beta, threshold, slope
        return spikes_TN

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_spikes_TN: Tensor) -> tuple[Tensor, None, None, None]:
        (membrane_TN,) = ctx.saved_tensors
        beta, threshold, slope = ctx.constants
        surrogate_TN = membrane_TN.sub(threshold).abs_().mul_(slope).add_(1).square_()
        grad_TN = grad_spikes_TN / surrogate_TN
        for t in range(len(grad_TN) - 2, -1, -1):
            grad_TN[t].add_(grad_TN[t + 1], alpha=beta)
        return grad_TN, None, None, None


class LeakyReadout(nn.Module):
    r"""Mean over time of a leaky membrane that never resets.

    With :math:`v_t = \beta v_{t-1} + x_t`, the mean of :math:`v` is a fixed weighting of the
    inputs: step :math:`t` counts :math:`\frac{1}{T} \sum_{k=0}^{T-1-t} \beta^k`.

    Args:
        beta: decay of the membrane a time step, 0 to 1.

    Shape:
        Input (T, N, …); output (N, …).
    """

    def __init__(self, beta: float = 0.9) -> None:
        super().__init__()
        self.beta = beta

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return f"beta={self.beta}"

    def forward(self, x_TN: Tensor) -> Tensor:
        """Mean membrane under the input currents ``x_TN``."""
        steps = torch.arange(len(x_TN), device=x_TN.device, dtype=x_TN.dtype)
        weights_T = (self.beta**steps).cumsum(0).flip(0) / len(x_TN)
        mean_N: Tensor = torch.tensordot(weights_T, x_TN, dims=1)
        return mean_N
