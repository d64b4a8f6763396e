"""Base classes of the norms with moving statistics.

Shapes: N images, C channels, T time steps, H height, W width; ``x_TNCHW`` names them in order.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from typing import Any, ClassVar, NoReturn

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from snn_norm.bounds import check_bounds
from snn_norm.neurons.standardization import Standardization
from snn_norm.norms.batch_statistics import (
    Moving,
    affine_map,
    check_momentum,
    for_gradient,
    set_points,
)
from snn_norm.norms.recomputation import Passes

Maps = tuple[Tensor, Tensor, Tensor | None, Tensor | None]
"""Mean, variance, scale and offset, each (C,) or (T, C); None means scale 1 or offset 0."""


class _AskedForInConversion:
    """An unset attribute that makes ``convert_sync_batchnorm`` fail with a clear error.

    That function replaces each subclass of torch's batch normalization by ``SyncBatchNorm``, and
    this is the only missing attribute that it reads from the layer that it replaces.
    """

    def __get__(self, norm: nn.Module | None, owner: type[nn.Module]) -> NoReturn:
        asking = sys._getframe(1).f_code
        if norm is not None and asking.co_name == "convert_sync_batchnorm":
            raise RuntimeError(
                "convert_sync_batchnorm would put torch's batch normalization in place of a "
                f"{owner.__name__}, which is another layer in training; call "
                "snn_norm.norms.synchronize(model), or leave it out: each process then keeps its "
                "own statistics, as with BatchNorm unconverted"
            )
        raise AttributeError(f"{owner.__name__!r} object has no attribute 'qconfig'")


class StandsInForBatchNorm(_BatchNorm):
    """A layer that torch's tools treat as a batch normalization; it raises where it is not one."""

    qconfig = _AskedForInConversion()

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __prepare_scriptable__(self) -> NoReturn:
        raise RuntimeError(
            f"torch.jit.script does not work on a {type(self).__name__}; use torch.export, or "
            "torch.jit.trace in evaluation"
        )


class SpikingNorm2d(StandsInForBatchNorm, ABC):
    """A normalization of the currents of a spiking layer, by statistics of batches.

    Args:
        num_features: C, the number of channels.
        num_steps: T, the number of time steps.
        eps: added to the variance; None for ``default_eps``, the value of the papers.
        momentum: weight of the newest batch in the moving statistics, 0 to 1; None for the
            cumulative average over all batches. Default: 0.1
        affine: whether to learn a weight and, for a norm that has one, a bias.
        device: the device of the parameters and statistics.
        dtype: of the parameters and statistics.

    Shape:
        One step, ``norm(x, t)``: (N, C, H, W); all steps, ``norm(x)``: (T, N, C, H, W).
        The output has the same shape.
    """

    place: ClassVar[str] = "currents"
    default_eps: ClassVar[float] = 1e-5
    whole_sequence: ClassVar[bool] = False
    """Whether training needs all time steps in one call; evaluation never does."""

    has_bias: ClassVar[bool] = True
    factor_power: ClassVar[int] = 0
    """The power of ``p``, (T,), a learned factor of weight and bias; 0 for no such factor."""

    each_step: ClassVar[bool] = False
    """Whether statistics, weight and bias have the shape (T, C) instead of (C,)."""

    p: Tensor | None

    def __init__(
        self,
        num_features: int,
        num_steps: int,
        eps: float | None = None,
        momentum: float | None = 0.1,
        affine: bool = True,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        nn.Module.__init__(self)
        check_momentum(momentum)
        check_bounds(num_features=num_features, num_steps=num_steps)
        self.num_features = num_features
        self.num_steps = num_steps
        self.eps = self.default_eps if eps is None else eps
        self.momentum = momentum
        self.affine = affine
        self.track_running_stats = True
        placed: dict[str, Any] = {"device": device, "dtype": dtype}
        steps = (num_steps,) if self.each_step else ()
        shape = (*steps, num_features)
        for name, size, has in (
            ("weight", shape, True),
            ("bias", shape, self.has_bias),
            ("p", (num_steps,), self.factor_power > 0),
        ):
            learned = affine and has
            self.register_parameter(
                name, nn.Parameter(torch.empty(size, **placed)) if learned else None
            )
        self.register_buffer("running_mean", torch.empty(shape, **placed))
        self.register_buffer("running_var", torch.empty(shape, **placed))
        self.register_buffer(
            "num_batches_tracked", torch.empty(steps, dtype=torch.long, device=device)
        )
        self._passes = Passes()
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Reset the moving statistics, and set weight and p to 1 and bias to 0."""
        super().reset_parameters()
        if self.p is not None:
            nn.init.ones_(self.p)

    def extra_repr(self) -> str:
        """The arguments of the layer, for its ``repr``."""
        return (
            f"{self.num_features}, {self.num_steps}, eps={self.eps}, "
            f"momentum={self.momentum}, affine={self.affine}"
        )

    def forward(self, x: Tensor, t: int | None = None) -> Tensor:
        """Normalize one time step, ``x_NCHW`` with ``t``, or the first steps, ``x_TNCHW``.

        The output of a sequence is the same as that of its steps, called one by one.

        Raises:
            ValueError: the shape is wrong, the step is outside 0 to num_steps - 1, there are more
                steps than num_steps, or, in training, there is only one value for each channel and
                step, or a single step is given to a norm that needs the whole sequence.
        """
        if t is None:
            self._check_sequence(x, len(x))
            return self._normalize(x, slice(0, len(x)))
        if x.dim() != 4 or x.shape[1] != self.num_features:
            raise ValueError(
                f"input at a time step must be (N, C, H, W) with C = {self.num_features}, "
                f"got {tuple(x.shape)}"
            )
        if not 0 <= t < self.num_steps:
            raise ValueError(f"time step must be 0 to {self.num_steps - 1}, got {t}")
        if self.training and self.whole_sequence:
            raise ValueError(
                f"a {type(self).__name__} takes its statistics of all time steps together, so in "
                f"training it needs a whole sequence (T, N, C, H, W), got step {t} alone; "
                "step by step it works in evaluation"
            )
        return self._normalize(x.unsqueeze(0), slice(t, t + 1)).squeeze(0)

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """The scale and offset that evaluation applies, (C,), or (T, C) if the steps differ."""
        return self._map(slice(0, self.num_steps))

    def _check_sequence(self, x: Tensor, num_steps: int) -> None:
        fits = x.dim() == 5 and x.shape[2] == self.num_features
        if not fits or not 1 <= num_steps <= self.num_steps:
            raise ValueError(
                f"a sequence must be (T, N, C, H, W) with T from 1 to {self.num_steps} and "
                f"C = {self.num_features}, got {tuple(x.shape)}; "
                "for a single step (N, C, H, W), give its index t"
            )

    def _moving(self, steps: slice) -> Moving:
        """The moving statistics of these steps."""
        rows = steps if self.each_step else ...
        return Moving(
            self.running_mean[rows],
            self.running_var[rows],
            self.num_batches_tracked[rows],
            self.momentum,
        )

    def _affine(self, steps: slice) -> tuple[Tensor | None, Tensor | None]:
        """Weight and bias of these steps, (C,), or (T, C) if they differ; None means 1 or 0."""
        rows = steps if self.each_step else ...
        weight = None if self.weight is None else self.weight[rows]
        bias = None if self.bias is None else self.bias[rows]
        if self.p is None or weight is None or bias is None:
            return weight, bias
        factor_T1 = self.p[steps, None] ** self.factor_power
        return factor_T1 * weight, factor_T1 * bias

    def _map(self, steps: slice) -> tuple[Tensor, Tensor]:
        """The scale and offset of these steps in evaluation, (C,) or (T, C)."""
        moving = self._moving(steps)
        return affine_map(moving.mean, moving.var, *self._affine(steps), self.eps)

    @abstractmethod
    def _normalize(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        """Normalize the time steps ``steps``; in training, update the moving statistics."""


class StandardizingNorm2d(SpikingNorm2d):
    """A norm that is an affine map once its statistics are known, so that neurons can apply it."""

    def standardization(self, x_TNCHW: Tensor, steps: slice) -> Standardization:
        """Return the map of a sequence for the neurons to apply; in training, update statistics.

        Args:
            x_TNCHW: the time steps ``steps``, or one step that is repeated at each of them.
            steps: consecutive time steps within 0 to num_steps - 1; all of them if the norm needs
                the whole sequence.

        Raises:
            ValueError: in the cases in which ``forward`` raises it.
        """
        self._check_sequence(x_TNCHW, steps.stop)
        shape = (steps.stop - steps.start, self.num_features)
        mean, var, scale, offset = self._maps(x_TNCHW, steps)
        return Standardization(
            mean.expand(shape),
            (var + self.eps).rsqrt().expand(shape),
            (torch.ones_like(mean) if scale is None else scale).expand(shape),
            (torch.zeros_like(mean) if offset is None else offset).expand(shape),
            of_batch=self.training,
            over_time=self.whole_sequence,
        )

    def _maps(self, x_TNCHW: Tensor, steps: slice) -> Maps:
        """Maps of a sequence, or of one repeated step; in training, update the statistics."""
        if not self.training:
            moving = self._moving(steps)
            return for_gradient(moving.mean), moving.var, *self._affine(steps)
        mean, var, values = self._statistics(x_TNCHW, steps.stop - steps.start)
        return mean, var, *self._learn(mean, var, values, steps)

    @abstractmethod
    def _statistics(self, x_TNCHW: Tensor, num_steps: int) -> tuple[Tensor, Tensor, int]:
        """Mean and biased variance, (C,) or (T, C), and the number of values behind each."""

    def _learn(
        self, mean: Tensor, var: Tensor, values: int, steps: slice
    ) -> tuple[Tensor | None, Tensor | None]:
        """Update the moving statistics with those of a batch, as batch normalization does.

        Returns:
            The scale and offset, (C,) or (T, C), to apply to x̂, the batch standardized to mean 0
            and variance 1; None means scale 1 or offset 0.
        """
        self._moving(steps).follow(mean, var, values)
        return self._affine(steps)


class HomeostaticLearning(StandardizingNorm2d):
    """Normalizes by the moving statistics in training as well as in evaluation."""

    def _learn(
        self,
        mean: Tensor,
        var: Tensor,
        values: int,  # noqa: ARG002
        steps: slice,
    ) -> tuple[Tensor, Tensor]:
        key = (steps.start, steps.stop)
        moving = self._moving(steps)
        return set_points(mean, var, moving, *self._affine(steps), self.eps, self._passes, key)
