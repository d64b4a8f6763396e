"""The common part of both networks: a trunk of convolutions and norms, and a classifier.

Shapes: N images, C channels, T time steps, H height, W width, K classes, F features. Sequences are
named (T, N, C, H, W) but lie in memory as (T, N, H, W, C), the order in which convolutions are
fastest.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.bounds import check_bounds
from snn_norm.networks.layers import Outputs
from snn_norm.networks.table import Layer, Trunk
from snn_norm.norms.make import make_norm
from snn_norm.norms.protocol import OnWeights
from snn_norm.norms.table import NORMS

_FEWEST_CHANNELS = 8
"""Over fewer channels in channels-last order, the gradient of a strided 1×1 convolution on one
thread writes beyond its memory (torch 2.13 with its oneDNN, on an AMD EPYC), and the process
crashes. In the default order it does not."""


class TrunkNetwork(nn.Module):
    """A trunk and a classifier.

    A norm follows each convolution (which then has no bias), and a neuron follows each norm and the
    hidden layer. Layers have the names that the trunk gives them; the hidden layer is ``hidden``. A
    norm on the membrane belongs to its neuron, and one on the weights is applied to them before the
    convolution.
    """

    def __init__(
        self,
        trunk: Trunk,
        norm: str,
        make_neuron: Callable[[nn.Module | None], nn.Module],
        *,
        num_steps: int | None,
        in_channels: int,
        num_classes: int,
        image_size: int,
    ) -> None:
        super().__init__()
        check_bounds(
            in_channels=in_channels,
            num_classes=num_classes,
            image_size=image_size,
            num_steps=num_steps,
        )
        self.trunk = trunk
        self.convolutions = nn.ModuleDict()
        self.norms = nn.ModuleDict()
        self.neurons = nn.ModuleDict()
        shapes: dict[str | None, tuple[int, int]] = {None: (in_channels, image_size)}
        for layer in trunk.layers:
            channels, size = shapes[layer.source]
            convolution = nn.Conv2d(
                channels,
                layer.channels,
                layer.kernel,
                layer.stride,
                layer.kernel // 2,
                bias=norm == "none",
            )
            self.convolutions[layer.name] = convolution
            made = make_norm(norm, layer.channels, num_steps)
            on_membrane = made if place_of(made) == "membrane" else None
            if on_membrane is not None:
                partner = NORMS[norm].partner if norm in NORMS else None
                made = make_norm(partner or "none", layer.channels, num_steps)
            self.norms[layer.name] = made
            if place_of(made) == "weights":  # such a norm has no offset
                convolution.bias = nn.Parameter(torch.zeros(layer.channels))
            if layer.fires:
                self.neurons[layer.name] = make_neuron(on_membrane)
            size = -(-size // layer.stride) // (2 if layer.pool else 1)
            shapes[layer.name] = (layer.channels, size)
        channels, size = shapes[trunk.layers[-1].name]
        features = channels if trunk.average else channels * size**2
        self.hidden = None
        if trunk.hidden is not None:
            self.hidden = nn.Linear(features, trunk.hidden)
            self.neurons["hidden"] = make_neuron(None)
        self.classifier = nn.Linear(trunk.hidden or features, num_classes)

    def _at_one_step(self, x_NCHW: Tensor, *t: int) -> Tensor:
        """The classifier's output (N, K); for a spiking network, at the time step t."""
        outputs = Outputs(self.trunk)
        for layer in self.trunk.layers:
            source = x_NCHW if layer.source is None else outputs.take((layer.source, "spikes"))
            y, norm = self._convolved(layer, source), self.norms[layer.name]
            if normalizes_currents(norm):
                y = norm(y, *t)
            y = outputs.added(layer, "currents", y)
            outputs.put(layer, "currents", y)
            if not layer.fires:
                continue
            # snnTorch's surrogate makes every spike a float32.
            y = outputs.added(layer, "spikes", self.neurons[layer.name](y).to(x_NCHW.dtype))
            if layer.pool:
                y = F.avg_pool2d(y, 2)
            outputs.put(layer, "spikes", y)
        features_NF = self._features(y)
        if self.hidden is not None:
            features_NF = self.neurons["hidden"](self.hidden(features_NF)).to(x_NCHW.dtype)
        outputs_NK: Tensor = self.classifier(features_NF)
        return outputs_NK

    def _convolved(self, layer: Layer, x_NCHW: Tensor, again: bool = False) -> Tensor:
        """Currents of a layer before its norm; recomputation with ``again`` calls no hooks."""
        convolution, norm = self.convolutions[layer.name], self.norms[layer.name]
        if layer.kernel == 1 and layer.stride > 1 and x_NCHW.shape[1] < _FEWEST_CHANNELS:
            x_NCHW = x_NCHW.contiguous()
        if place_of(norm) == "weights":
            assert isinstance(convolution, nn.Conv2d)
            assert isinstance(norm, OnWeights)
            weight = norm.standardize(convolution.weight)
            bias, stride, padding = convolution.bias, layer.stride, layer.kernel // 2
            return F.conv2d(x_NCHW, weight, bias, stride, padding)
        y_NCHW: Tensor = (convolution.forward if again else convolution)(x_NCHW)
        return y_NCHW

    def _features(self, x: Tensor) -> Tensor:
        """The features (N, F) or (T, N, F) of the last layer's output."""
        return x.mean((-2, -1)) if self.trunk.average else x.flatten(-3)


def normalizes_currents(norm: nn.Module) -> bool:
    """Whether the norm normalizes the currents of the neurons."""
    return place_of(norm) == "currents" and not isinstance(norm, nn.Identity)


def place_of(norm: nn.Module) -> str:
    """The place of a norm: currents (also that of a user's own norm), membrane or weights."""
    place: str = getattr(norm, "place", "currents")
    return place
