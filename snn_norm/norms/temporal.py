"""Normalization layers with the batch's statistics of each time step, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_norm.norms.base import HomeostaticLearning, StandardizingNorm2d
from snn_norm.norms.batch_statistics import (
    check_enough_values,
    composed,
    mixture,
    renormalization,
    standardize,
    statistics,
)
from snn_norm.norms.recomputation import recomputing


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
        maps: list[Any] = [
            None if values is None else values.expand(num_steps, -1).reshape(-1)
            for values in self._maps(x_TNCHW, steps)
        ]
        mean, var, scale, offset = maps
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


class MembranePotentialBatchNorm2d(TemporalNorm2d):
    r"""Batch normalization of the membrane before it is compared with the threshold (MPBN).

    .. math:: \tilde v_t = w \, \frac{v_t - m_t}{\sqrt{s_t^2 + \epsilon}} + b

    This is a ``torch.nn.BatchNorm2d`` that is called at each time step. Its statistics are taken
    over (N, H, W) of the step, it learns a weight and a bias, (C,), and every step updates the same
    running statistics. Evaluation is one affine map, which folds into the threshold: if w is
    positive, :math:`\tilde v_t` exceeds :math:`\theta` where v exceeds
    :math:`(\theta - b) \sqrt{\sigma^2 + \epsilon} / w + \mu`; if w is negative, where v is below.

    Training normalizes each step by its own statistics, but evaluation normalizes all steps by the
    same ones. If the membranes of the steps differ much, train and test accuracy therefore lie far
    apart (docs/evidence-norms.md). The paper adds this norm to a batch normalization after each
    convolution, which is the norm ``batchnorm-mpbn`` of this project; in ``mpbn`` it is the only
    norm, like every norm that is compared. The authors' neuron (two time steps, a decay of 0.25 and
    a reset to zero) is in the packaged spec ``norms-published``.

    After Guo et al., "Membrane Potential Batch Normalization for Spiking Neural Networks", ICCV
    2023 (https://arxiv.org/abs/2308.08359). The authors carry the raw membrane over to the next
    step; SpikingJelly carries the normalized one, and its norm then cannot be folded.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, with eps 1e-5; x is the membrane,
    (N, C, H, W) with its ``t``, or the membranes of all steps.
    """

    place = "membrane"
    each_step = False

    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        moving = self._moving(steps)
        for mean_C, var_C in zip(mean, var, strict=True):
            moving.follow(mean_C, var_C, values)
        return self._affine(steps)


class OnlineSpikingRenormalization2d(TemporalNorm2d):
    r"""Normalize by moving statistics shared over time, online (OSR).

    .. math:: y_t = w \, \frac{x_t - \mu}{\sqrt{\sigma^2 + \epsilon}} + b

    with the moving mean and variance of the sequences before this one. The variance is that of all
    time steps: the mean of the steps' variances plus the variance of their means. The gradient
    treats :math:`y_t` as :math:`w (\hat x_t r_t + d_t) + b` with r and d constant, where
    :math:`\hat x_t` is normalized by its own step's batch statistics, over (N, H, W), as in Batch
    Renormalization, without its clipping. The layer learns a weight and a bias, (C,). Evaluation
    uses the moving statistics, one affine map, which folds into the weights of the layer before.
    The layer stands before the neuron. A sequence begins with step 0, at which the moving
    statistics are updated with the previous sequence; evaluation therefore does not include the
    last sequence of training.

    After Zhu et al., "Online Stabilization of Spiking Neural Networks", ICLR 2024. The authors'
    program updates the variance with the mean of the steps' variances alone, lowers the momentum
    from 0.2 to 0.05 in the course of training, scales the gradient of x by the ratio of variances
    instead of deviations, and computes the gradient of w from the batch's own normalization.

    Args, Shape: as :class:`snn_norm.norms.base.SpikingNorm2d`, with eps 1e-4 as in the program.
    """

    default_eps = 1e-4
    each_step = False

    sequence_mean: Tensor
    sequence_var: Tensor
    sequence_steps: Tensor

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("sequence_mean", torch.zeros_like(self.running_mean))
        self.register_buffer("sequence_var", torch.zeros_like(self.running_var))
        self.register_buffer("sequence_steps", torch.zeros_like(self.num_batches_tracked))

    def reset_running_stats(self) -> None:
        """Reset the moving statistics."""
        super().reset_running_stats()
        for name in ("sequence_mean", "sequence_var", "sequence_steps"):
            if name in self._buffers:  # it is not there yet in the base class's constructor
                getattr(self, name).zero_()

    def _learn(
        self,
        mean: Tensor,
        var: Tensor,
        values: int,  # noqa: ARG002
        steps: slice,
    ) -> tuple[Tensor, Tensor]:
        key = (steps.start, steps.stop)
        if recomputing():
            r, d = self._passes.recall(key, (mean, var))
        else:
            if steps.start == 0:
                self._end_sequence()
            r, d = renormalization(mean, var, self.running_mean, self.running_var, self.eps)
            self._passes.remember(key, (mean, var), (r, d))
            self._collect(mean, var)
        return composed(r, d, *self._affine(steps))

    def _collect(self, mean: Tensor, var: Tensor) -> None:
        """Add more steps, (T, C), to the statistics of the present sequence."""
        between, mean = torch.var_mean(mean, 0, correction=0)
        steps = len(var)
        self.sequence_steps.add_(steps)
        share = steps / self.sequence_steps.to(mean.dtype)
        known = self.sequence_mean, self.sequence_var
        moved = mixture(mean, var.mean(0) + between, *known, share)
        for values, new in zip(known, moved, strict=True):
            values.copy_(new)

    def _end_sequence(self) -> None:
        """Update the moving statistics with the previous sequence, if there was one."""
        moving = self._moving(slice(0, self.num_steps))
        mean, var = moving.moved_towards(self.sequence_mean, self.sequence_var)
        # If there was none, NaN makes the update a no-op; an ``if`` would make the GPU wait.
        moving.update(mean, var.masked_fill(self.sequence_steps == 0, torch.nan))
        for values in (self.sequence_mean, self.sequence_var, self.sequence_steps):
            values.zero_()
