"""Normalization layers: homeostatic ones, and the standard ones they are held against.

Shapes: N images, C channels, T time steps, L length, H height, W width; ``x_TNCHW`` names them in
order. Statistics are taken over all dimensions but the channel (and the time step).

The homeostatic layers differ from the published ones in three ways, derived and measured in
``docs/theory.md``: the gradient sees the batch statistics (Batch Renormalization's gradient,
https://arxiv.org/abs/1702.03275, without its clipping), the moving variance is that of the mixture
of all batches seen, and the first batches count fully, so that no statistic starts from a guess.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase

from snn_norm.references import is_reference, load_reference

__all__ = [
    "STATIC_NORMS",
    "TEMPORAL_NORMS",
    "BatchNormThroughTime2d",
    "HomeostaticNorm",
    "TemporalHomeostaticNorm2d",
    "make_norm",
]


class HomeostaticNorm(_NormBase):
    r"""Normalize each channel by its moving statistics, in training as in evaluation.

    .. math::
        \mu \leftarrow \mu + \alpha (m - \mu), \qquad
        \sigma^2 \leftarrow (1 - \alpha) \sigma^2 + \alpha s^2 + \alpha (1 - \alpha) (m - \mu)^2,
        \qquad y = \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} \, w + b

    with the batch's mean :math:`m` and biased variance :math:`s^2`, and
    :math:`\alpha = \max(\text{momentum}, 1/n)` on the n-th batch. The gradient is that of batch
    normalization, scaled to the moving deviation: both statistics are set-points that a change of
    ``x`` must not be able to buy itself out of. In evaluation, with momentum 1, and on the first
    batch, output and gradient equal those of ``torch.nn.BatchNorm1d`` and ``BatchNorm2d``, whose
    ``state_dict`` it loads and gives.

    Args:
        num_features: C, the number of channels.
        eps: added to the variance.
        momentum: weight of the newest batch in the moving statistics, 0 to 1; None for the
            cumulative average over all batches. Default: 0.1
        affine: learn a weight (set-point of the deviation) and a bias (of the mean) a channel.
        device: where the parameters and statistics lie.
        dtype: of the parameters and statistics.

    Shape:
        Input (N, C), (N, C, L) or (N, C, H, W), with more than one value a channel in training;
        output the same.

    Raises:
        ValueError: momentum outside 0 to 1, another shape, or one value a channel in training.

    Example:
        >>> norm = HomeostaticNorm(64)
        >>> norm(torch.randn(8, 64, 16, 16)).shape
        torch.Size([8, 64, 16, 16])
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        _check_momentum(momentum)
        super().__init__(num_features, eps, momentum, affine, True, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize ``x``, (N, C), (N, C, L) or (N, C, H, W); in training, learn its statistics."""
        if x.dim() not in (2, 3, 4) or x.shape[1] != self.num_features:
            raise ValueError(
                f"input must be (N, C), (N, C, L) or (N, C, H, W) with C = {self.num_features}, "
                f"got {tuple(x.shape)}"
            )
        mean, var, count = self.running_mean, self.running_var, self.num_batches_tracked
        assert mean is not None
        assert var is not None
        assert count is not None
        if not self.training:
            return F.batch_norm(x, mean, var, self.weight, self.bias, eps=self.eps)
        _check_enough_values(x)
        rate = _next_rate(count, self.momentum, mean.dtype)
        return _homeostatic(x, mean, var, self.weight, self.bias, rate, self.eps)


class _TemporalNorm2d(nn.Module, ABC):
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
        _check_momentum(momentum)
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
        if x.dim() != 5 or x.shape[2] != self.num_features or x.shape[0] > self.num_steps:
            raise ValueError(
                f"a sequence must be (T, N, C, H, W) with T up to {self.num_steps} and "
                f"C = {self.num_features}, got {tuple(x.shape)}; "
                "for a single step (N, C, H, W), give its index t"
            )
        steps, images, channels, height, width = x.shape
        # Every (step, channel) pair is a channel of its own: one kernel serves all steps.
        flat = x.transpose(0, 1).reshape(images, steps * channels, height, width)
        y = self._normalize(flat, slice(0, steps))
        return y.view(images, steps, channels, height, width).transpose(0, 1)

    def _normalize(self, x: Tensor, steps: slice) -> Tensor:
        """Normalize (N, T·C, H, W) by the statistics of the time steps ``steps``."""
        mean, var = self.running_mean[steps].view(-1), self.running_var[steps].view(-1)
        weight = None if self.weight is None else self.weight[steps].reshape(-1)
        bias = None if self.bias is None else self.bias[steps].reshape(-1)
        if not self.training:
            return F.batch_norm(x, mean, var, weight, bias, eps=self.eps)
        _check_enough_values(x)
        rate = _next_rate(self.num_batches_tracked[steps], self.momentum, mean.dtype)
        rate = rate.repeat_interleave(self.num_features)
        return self._train(x, mean, var, weight, bias, rate)

    @abstractmethod
    def _train(
        self,
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        rate: Tensor,
    ) -> Tensor:
        """Normalize (N, T·C, H, W) and take it into the statistics, all (T·C,)."""


class TemporalHomeostaticNorm2d(_TemporalNorm2d):
    r"""A :class:`HomeostaticNorm` of its own at each time step of a spiking network.

    Formula and gradient are those of :class:`HomeostaticNorm`, with statistics, weight and bias of
    shape (T, C). On the first batch, with momentum 1, and in evaluation with the same statistics
    it equals a ``torch.nn.BatchNorm2d`` at each step.

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

    def _train(
        self,
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        rate: Tensor,
    ) -> Tensor:
        return _homeostatic(x, mean, var, weight, bias, rate, self.eps)


class BatchNormThroughTime2d(_TemporalNorm2d):
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

    def _train(
        self,
        x: Tensor,
        mean: Tensor,
        var: Tensor,
        weight: Tensor | None,
        bias: Tensor | None,
        rate: Tensor,
    ) -> Tensor:
        if self.momentum is None:
            # Steps called one by one may have seen different numbers of batches.
            batch_mean, batch_var = torch.zeros_like(mean), torch.ones_like(var)
            y = F.batch_norm(x, batch_mean, batch_var, weight, bias, True, 1.0, self.eps)
            mean.lerp_(batch_mean, rate)
            var.lerp_(batch_var, rate)
            return y
        return F.batch_norm(x, mean, var, weight, bias, True, self.momentum, self.eps)


def _check_momentum(momentum: float | None) -> None:
    if momentum is not None and not 0 <= momentum <= 1:
        raise ValueError(f"momentum must be from 0 to 1, or None, got {momentum}")


def _check_enough_values(x: Tensor) -> None:
    """Refuse a batch without variance, before any statistic has taken it in."""
    if x.numel() <= x.shape[1]:
        raise ValueError(
            f"training needs more than one value a channel, got an input of {tuple(x.shape)}"
        )


def _next_rate(num_batches_tracked: Tensor, momentum: float | None, dtype: torch.dtype) -> Tensor:
    """Count one more batch, and give its weight: max(momentum, 1/n), without a host sync."""
    num_batches_tracked += 1
    rate = num_batches_tracked.to(dtype).reciprocal()
    return rate if momentum is None else rate.clamp(min=momentum)


def _homeostatic(
    x: Tensor,
    running_mean: Tensor,
    running_var: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    rate: Tensor,
    eps: float,
) -> Tensor:
    """Take the batch into the moving statistics of (N, C, …), then normalize by these.

    With x̂ = (x - m)/s, the output (x - μ)/σ is x̂·r + d, where r = s/σ and d = (m - μ)/σ. Holding
    r and d constant gives the gradient (1/σ)·[g - mean(g) - x̂·mean(g·x̂)], so PyTorch's own
    batch normalization does all the work, with r and d folded into its affine map.
    """
    with torch.no_grad():
        dims = [0, *range(2, x.dim())]
        batch_var, batch_mean = torch.var_mean(x.to(running_mean.dtype), dims, correction=0)
        shift = batch_mean - running_mean
        running_mean += rate * shift
        running_var.lerp_(batch_var, rate)
        running_var += rate * (1 - rate) * shift.square()
        inverse_deviation = (running_var + eps).rsqrt()
        r = (batch_var + eps).sqrt() * inverse_deviation
        d = (batch_mean - running_mean) * inverse_deviation
    scale = r if weight is None else r * weight
    offset = d if weight is None else d * weight
    if bias is not None:
        offset = offset + bias
    return F.batch_norm(x, None, None, scale, offset, training=True, eps=eps)


def _no_norm(*_: int) -> nn.Module:
    return nn.Identity()


STATIC_NORMS: dict[str, Callable[..., nn.Module]] = {
    "none": _no_norm,
    "batchnorm": nn.BatchNorm2d,
    "homeostatic": HomeostaticNorm,
}
"""Norms of an artificial network by name, made from the number of channels."""

TEMPORAL_NORMS: dict[str, Callable[..., nn.Module]] = {
    "none": _no_norm,
    "bntt": BatchNormThroughTime2d,
    "homeostatic": TemporalHomeostaticNorm2d,
}
"""Norms of a spiking network by name, made from the numbers of channels and of time steps."""


def make_norm(name: str, num_features: int, num_steps: int | None = None) -> nn.Module:
    """Make a norm from its name.

    Args:
        name: a key of :data:`STATIC_NORMS` (or, with num_steps, of :data:`TEMPORAL_NORMS`), or
            ``package.module:name`` for your own, called as ``name(num_features)`` or
            ``name(num_features, num_steps)``.
        num_features: C, the number of channels.
        num_steps: T, the number of time steps of a spiking network; None for an artificial one.

    Raises:
        ValueError: the name is unknown, or cannot be imported.
    """
    known = STATIC_NORMS if num_steps is None else TEMPORAL_NORMS
    if name in known:
        factory = known[name]
    elif is_reference(name):
        factory = load_reference(name)
    else:
        kind = "an artificial" if num_steps is None else "a spiking"
        raise ValueError(
            f"norm of {kind} network must be one of {', '.join(known)}, or package.module:name, "
            f"got {name!r}"
        )
    return factory(num_features) if num_steps is None else factory(num_features, num_steps)
