"""Normalization that trains one time step at a time, by moving statistics of whole sequences.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from snn_norm.norms.batch_statistics import composed, mixture, renormalization
from snn_norm.norms.recomputation import recomputing
from snn_norm.norms.temporal import TemporalNorm2d


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
