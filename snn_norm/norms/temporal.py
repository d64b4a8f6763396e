"""Normalization layers with statistics of their own at each time step, for spiking networks.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.batch_statistics import (
    Moving,
    check_enough_values,
    check_momentum,
    normalize,
    set_points,
    statistics,
)
from snn_norm.norms.recomputation import Passes

__all__ = ["BatchNormThroughTime2d", "TemporalHomeostaticNorm2d", "TemporalNorm2d"]


class TemporalNorm2d(nn.Module, ABC):
    """A normalization with its own statistics at each time step; subclasses say how to train."""

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(
        self,
        num_features: int,
        num_steps: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        bias: bool,
        device: torch.device | str | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        check_momentum(momentum)
        self.num_features = num_features
        self.num_steps = num_steps
        self.eps = eps
        self.momentum = momentum
        self.affine = affine
        placed: dict[str, Any] = {"device": device, "dtype": dtype}
        shape = (num_steps, num_features)
        self.weight = nn.Parameter(torch.empty(shape, **placed)) if affine else None
        self.bias = nn.Parameter(torch.empty(shape, **placed)) if affine and bias else None
        self.register_buffer("running_mean", torch.empty(shape, **placed))
        self.register_buffer("running_var", torch.empty(shape, **placed))
        self.register_buffer(
            "num_batches_tracked", torch.empty(num_steps, dtype=torch.long, device=device)
        )
        self._passes = Passes()
        self.reset_parameters()

    def reset_running_stats(self) -> None:
        """Forget every batch seen."""
        self.running_mean.zero_()
        self.running_var.fill_(1)
        self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Forget every batch seen, and set weight to 1 and bias to 0."""
        self.reset_running_stats()
        if self.weight is not None:
            nn.init.ones_(self.weight)
        if self.bias is not None:
            nn.init.zeros_(self.bias)

    def extra_repr(self) -> str:
        """The arguments it was made with."""
        return (
            f"{self.num_features}, {self.num_steps}, eps={self.eps}, "
            f"momentum={self.momentum}, affine={self.affine}"
        )

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        """Normalize one time step, ``x_NCHW`` with ``t``, or the first steps, ``x_TNCHW``.

        A sequence gives the numbers that its steps would give one by one. It costs no copy where
        the memory behind ``x_TNCHW`` lies in the order (N, T, C, H, W).

        Raises:
            ValueError: another shape, a step outside 0 to num_steps - 1, more steps than
                num_steps, or one value a channel and step in training.
        """
        if t is not None:
            if x.dim() != 4 or x.shape[1] != self.num_features:
                raise ValueError(
                    f"input at a time step must be (N, C, H, W) with C = {self.num_features}, "
                    f"got {tuple(x.shape)}"
                )
            if not 0 <= t < self.num_steps:
                raise ValueError(f"time step must be 0 to {self.num_steps - 1}, got {t}")
            return self._normalize(x, slice(t, t + 1))
        self._check_sequence(x, len(x))
        num_steps, images, channels, height, width = x.shape
        # Every (step, channel) pair is a channel of its own: one kernel serves all steps.
        flat = x.transpose(0, 1).reshape(images, num_steps * channels, height, width)
        y = self._normalize(flat, slice(0, num_steps))
        return y.view(images, num_steps, channels, height, width).transpose(0, 1)

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        """What the norm would do to a sequence, to be done by the neurons; in training, learn.

        Args:
            x_TNCHW: the time steps ``steps``, or one step that stands for each of them.
            steps: a stretch of the time steps 0 to num_steps - 1.

        Raises:
            ValueError: as the norm itself does.
        """
        self._check_sequence(x_TNCHW, steps.stop)
        num_steps = steps.stop - steps.start
        if self.training:
            check_enough_values(x_TNCHW[0])
            each = [statistics(x_NCHW, self.running_mean.dtype) for x_NCHW in x_TNCHW]
            mean, var = (
                torch.stack(values).expand(num_steps, -1) for values in zip(*each, strict=True)
            )
            values = x_TNCHW[0].numel() // self.num_features
            scale, offset = self._learn(mean, var, values, steps)
        else:
            mean, var = self.running_mean[steps], self.running_var[steps]
            scale = None if self.weight is None else self.weight[steps]
            offset = None if self.bias is None else self.bias[steps]
        return Standardization(
            mean,
            (var + self.eps).rsqrt(),
            torch.ones_like(mean) if scale is None else scale,
            torch.zeros_like(mean) if offset is None else offset,
            of_batch=self.training,
        )

    def _check_sequence(self, x: Tensor, num_steps: int) -> None:
        if x.dim() != 5 or x.shape[2] != self.num_features or num_steps > self.num_steps:
            raise ValueError(
                f"a sequence must be (T, N, C, H, W) with T up to {self.num_steps} and "
                f"C = {self.num_features}, got {tuple(x.shape)}; "
                "for a single step (N, C, H, W), give its index t"
            )

    def _normalize(self, x: Tensor, steps: slice) -> Tensor:
        """Normalize (N, T·C, H, W) by the statistics of the time steps ``steps``."""
        weight = None if self.weight is None else self.weight[steps].reshape(-1)
        bias = None if self.bias is None else self.bias[steps].reshape(-1)
        if not self.training:
            mean, var = self.running_mean[steps].view(-1), self.running_var[steps].view(-1)
            return F.batch_norm(x, mean, var, weight, bias, eps=self.eps)
        check_enough_values(x)
        batch_mean, batch_var = statistics(x, self.running_mean.dtype)
        shape = self.running_mean[steps].shape
        scale, offset = self._learn(
            batch_mean.view(shape), batch_var.view(shape), x.numel() // x.shape[1], steps
        )
        scale, offset = (
            None if values is None else values.reshape(-1) for values in (scale, offset)
        )
        return normalize(x, batch_mean, batch_var, scale, offset, self.eps)

    def _moving(self, steps: slice) -> Moving:
        return Moving(
            self.running_mean[steps],
            self.running_var[steps],
            self.num_batches_tracked[steps],
            self.momentum,
        )

    @abstractmethod
    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        """Take a batch's mean and biased variance, (T, C), into the statistics of ``steps``.

        Args:
            values: the number of values that each was taken over.

        Returns:
            Scale and offset, (T, C), of x̂, the batch at mean 0 and variance 1; None is 1 and 0.
        """


class TemporalHomeostaticNorm2d(TemporalNorm2d):
    r"""A :class:`snn_norm.HomeostaticNorm` of its own at each time step of a spiking network.

    Formula and gradient are those of that layer, with statistics, weight and bias of shape (T, C).
    On the first batch, with momentum 1, and in evaluation with the same statistics it equals a
    ``torch.nn.BatchNorm2d`` at each step.

    Args:
        num_features: C, the number of channels.
        num_steps: T, the number of time steps.
        eps: added to the variance. The first spike of a channel that has been silent is divided by
            its square root, which is why it is not 1e-5 here.
        momentum: weight of the newest batch in the moving statistics, 0 to 1; None for the
            cumulative average over all batches. Default: 0.1
        affine: learn a weight and a bias for each (step, channel).
        device: where the parameters and statistics lie.
        dtype: of the parameters and statistics.

    Shape:
        One step, ``norm(x, t)``: (N, C, H, W); all steps, ``norm(x)``: (T, N, C, H, W).
        Output the same.

    Example:
        >>> norm = TemporalHomeostaticNorm2d(64, 25)
        >>> norm(torch.randn(8, 64, 16, 16), t=0).shape
        torch.Size([8, 64, 16, 16])
        >>> norm(torch.randn(25, 8, 64, 16, 16)).shape
        torch.Size([25, 8, 64, 16, 16])
    """

    def __init__(
        self,
        num_features: int,
        num_steps: int,
        eps: float = 1e-4,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, num_steps, eps, momentum, affine, True, device, dtype)

    def _learn(
        self,
        mean: Tensor,
        var: Tensor,
        values: int,  # noqa: ARG002
        steps: slice,
    ) -> tuple[Tensor, Tensor]:
        weight = None if self.weight is None else self.weight[steps]
        bias = None if self.bias is None else self.bias[steps]
        key = (steps.start, steps.stop)
        moving = self._moving(steps)
        return set_points(mean, var, moving, weight, bias, self.eps, self._passes, key)


class BatchNormThroughTime2d(TemporalNorm2d):
    r"""Batch normalization with its own statistics and scale at each time step (BNTT).

    .. math:: y_t = w_t \, \frac{x_t - m_t}{\sqrt{s_t^2 + \epsilon}}

    After Kim and Panda, "Revisiting Batch Normalization for Training Low-latency Deep Spiking
    Neural Networks from Scratch" (https://arxiv.org/abs/2010.01729): a scale and no bias, eps 1e-4.

    Args:
        num_features: C, the number of channels.
        num_steps: T, the number of time steps.
        eps: added to the variance.
        momentum: weight of the newest batch in the moving statistics, which only evaluation uses;
            None for the cumulative average. Default: 0.1
        affine: learn a scale for each (step, channel).
        device: where the parameters and statistics lie.
        dtype: of the parameters and statistics.

    Shape:
        One step, ``norm(x, t)``: (N, C, H, W); all steps, ``norm(x)``: (T, N, C, H, W).
        Output the same.
    """

    def __init__(
        self,
        num_features: int,
        num_steps: int,
        eps: float = 1e-4,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(num_features, num_steps, eps, momentum, affine, False, device, dtype)

    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, None]:
        self._moving(steps).follow(mean, var, values)
        return None if self.weight is None else self.weight[steps], None
