"""Parts of the networks' forward pass. Shapes as in :mod:`snn_norm.networks.trunk`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_norm.networks.table import Kind, Layer, Output, Trunk
from snn_norm.neurons.recurrence import Standardization

__all__ = ["ConvolutionOfEachStep", "Outputs", "standardized"]


class Outputs:
    """What layers have put out and later ones will take; each is let go with its last use."""

    def __init__(self, trunk: Trunk) -> None:
        self._uses = trunk.uses.copy()
        self._kept: dict[Output, Tensor] = {}

    def put(self, layer: Layer, kind: Kind, values: Tensor) -> None:
        """Keep an output for the layers that take it, if there are any."""
        if self._uses[layer.name, kind]:
            self._kept[layer.name, kind] = values

    def take(self, output: Output) -> Tensor:
        """An output, for one of those that take it."""
        self._uses[output] -= 1
        return self._kept[output] if self._uses[output] else self._kept.pop(output)

    def added(self, layer: Layer, kind: Kind, values: Tensor) -> Tensor:
        """A layer's own output and what its shortcut brings."""
        adds = layer.adds
        return values if adds is None or adds.to != kind else values + self.take(adds.output)


class ConvolutionOfEachStep(nn.Module):
    """A convolution with its own weights at each time step: what a norm of each step folds into.

    Args:
        convolution: whose stride and padding it has.
        weight: (T, O, I, kernel, kernel).
        bias: (T, O).
    """

    def __init__(self, convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.padding = convolution.stride, convolution.padding

    def extra_repr(self) -> str:
        """Its shape, and what it costs."""
        steps, out_channels, in_channels, kernel, _ = self.weight.shape
        shape = f"{in_channels}, {out_channels}, kernel_size={kernel}, stride={self.stride[0]}"
        return f"{shape}, {steps} times the weights"

    def forward(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        """Convolve the time steps ``steps``, or one that stands for each of them."""
        pairs = zip(self.weight[steps], self.bias[steps], strict=True)
        each = [
            F.conv2d(x_TNCHW[t % len(x_TNCHW)], weight, bias, self.stride, self.padding)
            for t, (weight, bias) in enumerate(pairs)
        ]
        return torch.stack([y_NCHW.movedim(1, -1) for y_NCHW in each]).movedim(-1, 2)


def standardized(x_TNCHW: Tensor, standardization: Standardization) -> Tensor:
    """Currents as the neurons would standardize them, where something else takes them besides."""
    y_TNCHW: Tensor = _Standardize.apply(x_TNCHW, *standardization)  # type: ignore[no-untyped-call, unused-ignore]
    return y_TNCHW


class _Standardize(torch.autograd.Function):
    """The affine map, with the gradient that :class:`Standardization` states."""

    @staticmethod
    def forward(ctx: Any, x_TNCHW: Tensor, *arguments: Any) -> Tensor:
        *tensors, ctx.of_batch = arguments
        ctx.save_for_backward(x_TNCHW, *tensors)
        weight, bias = Standardization._make([*tensors, ctx.of_batch]).affine_map()
        return torch.addcmul(_of_channel(bias), x_TNCHW, _of_channel(weight))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TNCHW: Tensor) -> tuple[Tensor | None, ...]:
        x_TNCHW, mean, inverse_deviation, scale, _ = ctx.saved_tensors
        grad_offset = grad_TNCHW.sum((1, 3, 4), dtype=mean.dtype)
        of_product = (grad_TNCHW * x_TNCHW).sum((1, 3, 4), dtype=mean.dtype)
        grad_scale = (of_product - mean * grad_offset) * inverse_deviation
        weight = inverse_deviation * scale
        if not ctx.of_batch:
            grad_x = (grad_TNCHW * _of_channel(weight)).to(x_TNCHW.dtype)
            return grad_x, None, None, grad_scale, grad_offset, None
        # weight · (grad - mean(grad) - x̂ · mean(grad · x̂)), as a map of x and a map of grad.
        values = x_TNCHW[0].numel() // x_TNCHW.shape[2]
        of_x = grad_scale * inverse_deviation / -values
        constant = grad_offset / -values - of_x * mean
        grad_x = torch.addcmul(_of_channel(constant), x_TNCHW, _of_channel(of_x))
        grad_x = grad_x.add_(grad_TNCHW).mul_(_of_channel(weight))
        return grad_x.to(x_TNCHW.dtype), None, None, grad_scale, grad_offset, None


def _of_channel(values_TC: Tensor) -> Tensor:
    """Beside (T, N, C, H, W)."""
    return values_TC[:, None, :, None, None]
