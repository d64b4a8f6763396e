"""Normalization by the statistics of all time steps so far, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.base import SpikingNorm2d
from snn_norm.norms.batch_statistics import affine_map, check_enough_values, statistics


class TemporalAccumulatedBatchNorm2d(SpikingNorm2d):
    r"""Batch normalization by the steps up to each step, with a learned factor for each (TAB).

    .. math:: y_t = p_t^2 \left( w_t \, \frac{x_t - m_{0 \ldots t}}{\sqrt{s_{0 \ldots t}^2 +
        \epsilon}} + b_t \right)

    The statistics are taken over (N, H, W) of the steps 0 to t, and the gradient passes through
    them. The layer learns a weight and a bias, (T, C), and p, (T,), initialized to 1, 0 and 1.
    Evaluation uses each step's own moving statistics, which makes it an affine map for each step.
    The layer stands before the neuron, and training needs whole sequences.

    After Jiang et al., "TAB: Temporal Accumulated Batch Normalization in Spiking Neural Networks",
    ICLR 2024 (https://openreview.net/forum?id=k1wlmtPGLq). The authors' program normalizes the
    sequences 0 to t one after another, at T/2 times the cost, and computes the same numbers.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`; without ``affine``, p is not learned
    either.
    """

    whole_sequence = True
    each_step = True
    factor_power = 2

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        """Return the map of :meth:`snn_norm.norms.base.StandardizingNorm2d.standardization`.

        The map treats the statistics as constants; their gradient passes through its scale and
        offset.
        """
        self._check_sequence(x_TNCHW, steps.stop)
        scale, offset = self._map_of(x_TNCHW, steps)
        return Standardization(
            torch.zeros_like(scale), torch.ones_like(scale), scale, offset, of_batch=False
        )

    def _normalize(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        scale, offset = (
            values.to(x_TNCHW.dtype)[:, None, :, None, None]
            for values in self._map_of(x_TNCHW, steps)
        )
        return torch.addcmul(offset, x_TNCHW, scale)

    def _map_of(self, x_TNCHW: Tensor, steps: slice) -> tuple[Tensor, Tensor]:
        """Scale and offset, (T, C), of a sequence, or of one step that is repeated at each."""
        if not self.training:
            return self._map(steps)
        check_enough_values(x_TNCHW[0])
        num_steps = steps.stop - steps.start
        each: tuple[Tensor, Tensor] = _StepStatistics.apply(x_TNCHW, self.running_mean.dtype)  # type: ignore[no-untyped-call, unused-ignore]
        mean, var = (values.expand(num_steps, -1) for values in each)
        count = torch.arange(1, num_steps + 1, device=mean.device, dtype=mean.dtype)[:, None]
        center = mean.detach().mean(0)  # so that squares of large means do not cancel
        shift = mean - center
        mean = shift.cumsum(0) / count
        # Rounding can make the variance negative if the first steps are constant and later ones
        # are large.
        var = ((var + shift.square()).cumsum(0) / count - mean.square()).clamp(min=0)
        mean = mean + center
        with torch.no_grad():
            # The count needs float32 at least, since float16 ends at 65,504.
            values = count.to(torch.promote_types(count.dtype, torch.float32))
            values = values * (x_TNCHW[0].numel() // self.num_features)
            self._moving(steps).follow(mean, var, values)
        return affine_map(mean, var, *self._affine(steps), self.eps)


class _StepStatistics(torch.autograd.Function):
    """Mean and biased variance of each step, (T, C), many times as fast as ``torch.var_mean``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x_TNCHW: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        each = [statistics(x_NCHW, dtype) for x_NCHW in x_TNCHW]
        mean, var = (torch.stack(values) for values in zip(*each, strict=True))
        return mean, var

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor]) -> None:
        ctx.save_for_backward(inputs[0], output[0])

    @staticmethod
    def backward(ctx: Any, grad_mean: Tensor, grad_var: Tensor) -> tuple[Tensor, None]:
        x_TNCHW, mean = ctx.saved_tensors
        values = x_TNCHW[0].numel() // x_TNCHW.shape[2]
        scale = grad_var * (2 / values)
        offset = grad_mean / values - scale * mean
        scale, offset = (v.to(x_TNCHW.dtype)[:, None, :, None, None] for v in (scale, offset))
        return torch.addcmul(offset, x_TNCHW, scale), None
