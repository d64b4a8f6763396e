"""Leaky integrate-and-fire neurons over a whole sequence at once.

Shapes: T time steps come first; whatever follows is element-wise. ``x_TN`` stands for (T, N, …).
The semantics, reset and surrogate gradient included, are those of ``snntorch.Leaky`` with
``reset_mechanism="subtract"`` and ``snntorch.surrogate.fast_sigmoid``, which the tests hold it to.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from snn_norm.neurons.fused import fire
from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.standardization import Standardization

__all__ = ["LIF", "LeakyReadout", "State"]


@dataclass
class State:
    """What neurons hand on from one stretch of a sequence to the next: at first, nothing."""

    membrane: Tensor | None = None


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

    Attributes:
        compiled: whether to compute by ``torch.compile``, the same numbers but for rounding; false
            at first, and set by :func:`snn_norm.neurons.engine.choose_engine`. It needs a
            compiler, and minutes for the first step.

    Shape:
        Input currents (T, N, …); output spikes, 0 or 1, of the same shape and dtype.
    """

    def __init__(self, beta: float = 0.9, threshold: float = 1.0, slope: float = 25.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold
        self.slope = slope
        self.compiled = False

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return f"beta={self.beta}, threshold={self.threshold}, slope={self.slope}"

    def forward(
        self,
        x_TN: Tensor,
        standardization: Standardization | None = None,
        *,
        num_steps: int | None = None,
        pool: bool = False,
        state: State | None = None,
    ) -> Tensor:
        """Spikes of the input currents ``x_TN``; ``state`` carries on from the call before.

        The further arguments are those of :func:`snn_norm.neurons.fused.fire`.
        """
        neuron = Neuron(self.beta, self.threshold, self.slope)
        state = State() if state is None else state
        spikes_TN, state.membrane = fire(
            x_TN,
            neuron,
            standardization,
            num_steps=num_steps,
            pool=pool,
            membrane_N=state.membrane,
            compiled=self.compiled,
        )
        return spikes_TN


class LeakyReadout(nn.Module):
    r"""Mean over time of a leaky membrane that never resets.

    With :math:`v_t = \beta v_{t-1} + x_t`, the mean of :math:`v` is a fixed weighting of the
    inputs: step :math:`t` counts :math:`\frac{1}{T} \sum_{k=0}^{T-1-t} \beta^k`.

    Args:
        beta: decay of the membrane a time step, 0 to 1.

    Shape:
        Input (T, N, …); output (N, …), in float32 at least.
    """

    def __init__(self, beta: float = 0.9) -> None:
        super().__init__()
        self.beta = beta

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return f"beta={self.beta}"

    def forward(self, x_TN: Tensor) -> Tensor:
        """Mean membrane under the input currents ``x_TN``."""
        dtype = torch.promote_types(x_TN.dtype, torch.float32)
        steps = torch.arange(len(x_TN), device=x_TN.device, dtype=dtype)
        weights_T = (self.beta**steps).cumsum(0).flip(0) / len(x_TN)
        # Not as a matrix product, which autocast would round.
        weights_T = weights_T.view(-1, *[1] * (x_TN.dim() - 1))
        return (weights_T * x_TN).sum(0)
