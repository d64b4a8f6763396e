"""Parts of the networks' forward pass. Shapes as in :mod:`snn_norm.networks.trunk`."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from snn_norm.networks.table import Kind, Layer, Output, Trunk
from snn_norm.neurons.standardization import GradientInPlace, Standardization


class Outputs:
    """The outputs of layers that later layers still need; each is freed after its last use."""

    def __init__(self, trunk: Trunk) -> None:
        self._uses = trunk.uses.copy()
        self._kept: dict[Output, Tensor] = {}

    def put(self, layer: Layer, kind: Kind, values: Tensor) -> None:
        """Keep an output for the layers that use it, if there are any."""
        if self._uses[layer.name, kind]:
            self._kept[layer.name, kind] = values

    def take(self, output: Output) -> Tensor:
        """Return an output to one of the layers that use it."""
        self._uses[output] -= 1
        return self._kept[output] if self._uses[output] else self._kept.pop(output)

    def added(self, layer: Layer, kind: Kind, values: Tensor) -> Tensor:
        """The sum of a layer's own output and that of its shortcut, if it has one."""
        adds = layer.adds
        return values if adds is None or adds.to != kind else values + self.take(adds.output)


class ConvolutionOfEachStep(nn.Module):
    """A convolution with separate weights at each time step, for folding a norm of each step.

    Args:
        convolution: the layer whose stride and padding it copies.
        weight: (T, O, I, kernel, kernel).
        bias: (T, O).
    """

    def __init__(self, convolution: nn.Conv2d, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)
        self.stride, self.padding = convolution.stride, convolution.padding

    def extra_repr(self) -> str:
        """The shape of the layer and its cost, for its ``repr``."""
        steps, out_channels, in_channels, kernel, _ = self.weight.shape
        shape = f"{in_channels}, {out_channels}, kernel_size={kernel}, stride={self.stride[0]}"
        return f"{shape}, {steps} times the weights"

    def forward(self, x_TNCHW: Tensor, steps: slice) -> Tensor:
        """Convolve the time steps ``steps``, or one step that is repeated at each of them."""
        pairs = zip(self.weight[steps], self.bias[steps], strict=True)
        each = [
            F.conv2d(x_TNCHW[t % len(x_TNCHW)], weight, bias, self.stride, self.padding)
            for t, (weight, bias) in enumerate(pairs)
        ]
        return torch.stack([y_NCHW.movedim(1, -1) for y_NCHW in each]).movedim(-1, 2)


def standardized(x_TNCHW: Tensor, standardization: Standardization) -> Tensor:
    """Standardize currents as the neurons would, for currents that are also used elsewhere."""
    y_TNCHW: Tensor = _Standardize.apply(x_TNCHW, *standardization)  # type: ignore[no-untyped-call, unused-ignore]
    return y_TNCHW


class _Standardize(torch.autograd.Function):
    """The affine map, with the gradient that :class:`Standardization` states."""

    @staticmethod
    def forward(ctx: Any, x_TNCHW: Tensor, *arguments: Any) -> Tensor:
        ctx.flags = arguments[4:]
        ctx.save_for_backward(x_TNCHW, *arguments[:4])
        weight, bias = (
            values_TC[:, None, :, None, None]
            for values_TC in Standardization._make(arguments).affine_map()
        )
        return torch.addcmul(bias, x_TNCHW, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_TNCHW: Tensor) -> tuple[Tensor | None, ...]:
        x_TNCHW, *tensors = ctx.saved_tensors
        through = GradientInPlace(Standardization._make([*tensors, *ctx.flags]))
        grad_x_TNCHW = torch.empty_like(grad_TNCHW)
        steps = list(zip(grad_TNCHW, x_TNCHW.to(grad_TNCHW.dtype), grad_x_TNCHW, strict=True))
        for t, (grad, x, grad_x) in reversed(list(enumerate(steps))):
            through.step(t, grad, x, out=grad_x)
        if through.waits:
            for _, x, grad_x in steps:
                through.finish_(grad_x, x)
        grad_x_TNCHW = grad_x_TNCHW.to(x_TNCHW.dtype)
        return grad_x_TNCHW, None, None, through.scale, through.offset, None, None
