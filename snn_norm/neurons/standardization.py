"""The affine map of a normalization with known statistics, and its gradient.

Shapes: T time steps, N images, C channels, H height, W width. For a single step, (T, C) is (C,).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Standardization(NamedTuple):
    """The map y = (x - mean) · inverse_deviation · scale + offset of each (step, channel), (T, C).

    With ``of_batch`` the statistics are those of x itself, and the gradient is that of batch
    normalization; otherwise they are constants. With ``over_time`` they were taken over all steps,
    so their rows are equal and x must be the whole sequence. Scale and offset may differ from step
    to step in any case.
    """

    mean: Tensor
    inverse_deviation: Tensor
    scale: Tensor
    offset: Tensor
    of_batch: bool
    over_time: bool = False

    @staticmethod
    def joined(parts: Sequence[Standardization]) -> Standardization:
        """Concatenate the parts along the steps."""
        tensors = map(torch.cat, zip(*(part[:4] for part in parts), strict=True))
        return Standardization._make([*tensors, *parts[0][4:]])

    def at(self, steps: int | slice) -> Standardization:
        """The standardization at one step, (C,), or at several."""
        return self._map(lambda values_TC: values_TC[steps])

    def detach(self) -> Standardization:
        """The same standardization, detached from autograd's graph."""
        return self._map(Tensor.detach)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Standardization:
        return Standardization._make([*map(function, self[:4]), *self[4:]])

    def affine_map(self) -> tuple[Tensor, Tensor]:
        """The map as weight and bias, (T, C)."""
        weight = self.inverse_deviation * self.scale
        return weight, self.offset - self.mean * weight

    def apply(self, x_NCHW: Tensor, out: Tensor) -> Tensor:
        """Write y of one step into ``out``, which may be x."""
        weight, bias = self.affine_map()
        return torch.addcmul(per_image(bias), x_NCHW, per_image(weight), out=out)

    def grad_scale(self, products: Tensor, grad_offset: Tensor) -> Tensor:
        """The gradient of the scale, from Σ grad · x and the offset's gradient, Σ grad."""
        return (products - self.mean * grad_offset) * self.inverse_deviation

    def input_map(
        self, grad_scale: Tensor, grad_offset: Tensor, values: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The coefficients of the gradient of x, (constant + x · of_x + grad) · weight.

        That is weight · (grad - mean(grad) - x̂ · mean(grad · x̂)), for statistics of a batch that
        were taken over ``values`` values per step.

        Returns:
            constant, of_x and weight, (T, C). With ``over_time`` they are (C,), and ``grad`` must
            be multiplied by the scale first, which may differ from step to step.
        """
        mean, inverse_deviation, weight = (
            self.mean, self.inverse_deviation, self.inverse_deviation * self.scale,
        )  # fmt: skip
        if self.over_time:
            values *= len(self.scale)
            grad_scale = (self.scale * grad_scale).sum(0)
            grad_offset = (self.scale * grad_offset).sum(0)
            mean, inverse_deviation = mean[0], inverse_deviation[0]
            weight = inverse_deviation
        of_x = grad_scale * inverse_deviation / -values
        return grad_offset / -values - of_x * mean, of_x, weight


class GradientInPlace:
    """The gradient of a standardization, computed from the last step to the first.

    Args:
        standardization: the map of (T, N, C, H, W).

    Attributes:
        scale: gradient of the scale, (T, C).
        offset: gradient of the offset, (T, C).
        waits: whether the gradient of x needs those of all steps, as for statistics over time.
    """

    def __init__(self, standardization: Standardization) -> None:
        self.scale = torch.empty_like(standardization.scale)
        self.offset = torch.empty_like(standardization.offset)
        self.waits = standardization.of_batch and standardization.over_time
        self.standardization = standardization

    def step(self, t: int, grad_NCHW: Tensor, x_NCHW: Tensor, out: Tensor) -> None:
        """Write the gradient of x, given that of y, into ``out``; only a part if it ``waits``."""
        row, dims = self.standardization.at(t), (0, 2, 3)
        grad_offset = grad_NCHW.sum(dims)
        grad_scale = row.grad_scale(torch.mul(grad_NCHW, x_NCHW, out=out).sum(dims), grad_offset)
        self.scale[t], self.offset[t] = grad_scale, grad_offset
        if self.waits:
            torch.mul(grad_NCHW, per_image(row.scale), out=out)
        elif not row.of_batch:
            torch.mul(grad_NCHW, per_image(row.inverse_deviation * row.scale), out=out)
        else:
            values = x_NCHW.numel() // x_NCHW.shape[1]
            constant, of_x, weight = map(per_image, row.input_map(grad_scale, grad_offset, values))
            torch.addcmul(constant, x_NCHW, of_x, out=out).add_(grad_NCHW).mul_(weight)

    def finish_(self, begun_NCHW: Tensor, x_NCHW: Tensor) -> None:
        """Complete a step's gradient of x that :meth:`step` began, after all steps are added."""
        values = x_NCHW.numel() // x_NCHW.shape[1]
        constant, of_x, weight = map(
            per_image, self.standardization.input_map(self.scale, self.offset, values)
        )
        begun_NCHW.addcmul_(x_NCHW, of_x).add_(constant).mul_(weight)


def per_image(values_C: Tensor) -> Tensor:
    """Reshape (…, C) to broadcast with (…, N, C, H, W)."""
    return values_C[..., None, None]
