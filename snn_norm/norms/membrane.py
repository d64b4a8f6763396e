"""Normalization of the membrane, between its update and the threshold, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``v_NCHW`` names them in order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_norm.norms.base import StandardizingNorm2d
from snn_norm.norms.batch_statistics import check_enough_values, standardize, statistics

__all__ = ["MembranePotentialBatchNorm2d"]


class MembranePotentialBatchNorm2d(StandardizingNorm2d):
    r"""Batch normalization of the membrane before it is compared with the threshold (MPBN).

    .. math:: \tilde v_t = w \, \frac{v_t - m_t}{\sqrt{s_t^2 + \epsilon}} + b

    A ``torch.nn.BatchNorm2d`` that is called at each time step: statistics over (N, H, W) of the
    step; learned are a weight and a bias, (C,); every step moves the same running statistics, one
    affine map in evaluation, which folds into the threshold. For w above 0, :math:`\tilde v_t`
    passes :math:`\theta` where v passes :math:`(\theta - b) \sqrt{\sigma^2 + \epsilon} / w + \mu`;
    below 0, where v falls below it.

    After Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks", ICCV
    2023 (https://arxiv.org/abs/2308.08359). The authors carry the raw membrane on to the next step,
    SpikingJelly the normalized one, which then does not fold.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`; x is the membrane.
    """

    place = "membrane"

    def _statistics(self, x_TNCHW: Tensor, num_steps: int) -> tuple[Tensor, Tensor, int]:  # noqa: ARG002
        v_NCHW = x_TNCHW.squeeze(0)  # one step: the next membrane depends on this one's spikes
        check_enough_values(v_NCHW)
        mean, var = statistics(v_NCHW, self.running_mean.dtype)
        return mean, var, v_NCHW.numel() // self.num_features

    def _normalize(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        return torch.stack([self._normalize_step(v_NCHW, steps) for v_NCHW in x_TNCHW])

    def _normalize_step(self, v_NCHW: Tensor, steps: slice) -> Tensor:
        mean, var, weight, bias = self._maps(v_NCHW.unsqueeze(0), steps)
        return standardize(v_NCHW, mean, var, weight, bias, self.eps, of_batch=self.training)
