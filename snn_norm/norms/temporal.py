"""Normalization layers with separate statistics at each time step, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

import torch
from torch import Tensor

from snn_norm.norms.base import HomeostaticLearning, StandardizingNorm2d
from snn_norm.norms.batch_statistics import check_enough_values, standardize, statistics


class TemporalNorm2d(StandardizingNorm2d):
    """A normalization with separate batch statistics at each time step."""

    each_step = True

    def _statistics(self, x_TNCHW: Tensor, num_steps: int) -> tuple[Tensor, Tensor, int]:
        check_enough_values(x_TNCHW[0])
        each = [statistics(x_NCHW, self.running_mean.dtype) for x_NCHW in x_TNCHW]
        mean, var = (
            torch.stack(values).expand(num_steps, -1) for values in zip(*each, strict=True)
        )
        return mean, var, x_TNCHW[0].numel() // self.num_features

    def _normalize(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        # Each (step, channel) pair is treated as a channel, so that one kernel computes all steps.
        # This needs no copy if the memory order is (N, T, C, H, W).
        num_steps, images, channels, height, width = x_TNCHW.shape
        flat = x_TNCHW.transpose(0, 1).reshape(images, num_steps * channels, height, width)
        mean, var, scale, offset = (
            None if values is None else values.expand(num_steps, -1).reshape(-1)
            for values in self._maps(x_TNCHW, steps)
        )
        y = standardize(flat, mean, var, scale, offset, self.eps, of_batch=self.training)
        return y.view(images, num_steps, channels, height, width).transpose(0, 1)


class TemporalHomeostaticNorm2d(HomeostaticLearning, TemporalNorm2d):
    r"""A separate :class:`snn_norm.HomeostaticNorm` at each time step of a spiking network.

    Formula and gradient are those of that layer, with statistics, weight and bias of shape (T, C).
    On the first batch, with momentum 1, and in evaluation with the same statistics it equals a
    ``torch.nn.BatchNorm2d`` at each step. Evaluation normalizes by the moving statistics, an affine
    map for each step.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`. ``eps`` is 1e-4 instead of 1e-5,
    because the first spike of a channel that was silent so far is divided by its square root.

    Example:
        >>> norm = TemporalHomeostaticNorm2d(64, 25)
        >>> norm(torch.randn(8, 64, 16, 16), t=0).shape
        torch.Size([8, 64, 16, 16])
        >>> norm(torch.randn(25, 8, 64, 16, 16)).shape
        torch.Size([25, 8, 64, 16, 16])
    """

    default_eps = 1e-4


class BatchNormThroughTime2d(TemporalNorm2d):
    r"""Batch normalization with separate statistics and scale at each time step (BNTT).

    .. math:: y_t = w_t \, \frac{x_t - m_t}{\sqrt{s_t^2 + \epsilon}}

    The statistics are taken over (N, H, W) of each step. The layer learns a scale, (T, C), and no
    bias. Evaluation uses the moving statistics of the step. eps is 1e-4.

    After Kim and Panda, "Revisiting Batch Normalization for Training Low-latency Deep Spiking
    Neural Networks from Scratch" (https://arxiv.org/abs/2010.01729). Their program and
    SpikingJelly's have a ``BatchNorm2d`` without bias for each step; SpikingJelly's eps is 1e-5.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`.
    """

    default_eps = 1e-4
    has_bias = False
