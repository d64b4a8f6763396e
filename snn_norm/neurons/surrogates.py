"""The gradient through a spike, which has none of its own: what stands for it."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["add_gradient_"]


def add_gradient_(grad: Tensor, grad_spikes: Tensor, above: Tensor, slope: float) -> None:
    """Add the gradient through the spikes to that of the membranes, in place.

    Args:
        grad: of the membranes, (N, …).
        grad_spikes: of the spikes, (N, …).
        above: membranes above the threshold, v - θ, (N, …); overwritten.
        slope: k of the surrogate; the larger, the narrower.
    """
    # The fast sigmoid's slope is 1 / (1 + k·|v - θ|)².
    one = above.new_ones(())
    torch.add(one, above.abs_(), alpha=slope, out=above).square_()
    grad.addcdiv_(grad_spikes, above)
