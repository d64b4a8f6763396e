"""The cost of a forward pass of a trunk, in synaptic operations. This module imports no torch.

A spike that reaches a synapse adds a weight: an accumulate. Any other value is multiplied by the
weight first: a multiply-accumulate. The count is for one image, by the conventions of the field:

- In a layer whose inputs are spikes, accumulates = rate · T · connections. A neuron's rate is its
  number of spikes per time step, and connections are the multiply-accumulates of one dense pass,
  including padding. Where the spikes of a shortcut are added to others, the rates are added too.
- In a layer whose inputs are not spikes, multiply-accumulates = T · connections, including zeros.
  Such inputs are event frames, and averages over squares or over an image. An image that is the
  same at every step is convolved once.
- An artificial network has one dense pass of multiply-accumulates; its zeros save nothing.
- A norm that is folded into weights or thresholds (``folds``), or that acts on the weights, costs
  nothing. The exception is a norm that folds into separate weights for each step: the single
  convolution of a constant image cannot have these, so the norm costs one multiply-accumulate for
  each value and step there. Any other norm, including a user's own, costs two: one for the mean of
  squares, one for scale and offset.

The neurons' leak, threshold and reset, and all movement of data, are left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from snn_norm.networks.table import Layer, Trunk
from snn_norm.norms.table import NORMS

PICOJOULE_MULTIPLY_ACCUMULATE = 4.6
PICOJOULE_ACCUMULATE = 0.9
"""Energy of 32-bit floating point operations in 45 nm, without memory (Horowitz 2014,
https://doi.org/10.1109/ISSCC.2014.6757323: a multiplication 3.7 pJ, an addition 0.9 pJ)."""


@dataclass(frozen=True)
class Operations:
    """The operations of one layer for one image."""

    layer: str
    accumulates: float
    multiply_accumulates: float

    @property
    def nanojoules(self) -> float:
        """The estimated energy of the operations."""
        of_accumulates = PICOJOULE_ACCUMULATE * self.accumulates
        of_products = PICOJOULE_MULTIPLY_ACCUMULATE * self.multiply_accumulates
        return (of_accumulates + of_products) / 1000


def operations(
    trunk: Trunk,
    norm: str,
    *,
    in_channels: int,
    num_classes: int,
    image_size: int,
    num_steps: int | None = None,
    rates: Mapping[str, float] | None = None,
    sequences: bool = False,
) -> list[Operations]:
    """Count a network's synaptic operations for one image, layer by layer.

    Args:
        trunk: the network up to its classifier.
        norm: a name in ``NORMS``, or a user's own.
        in_channels, num_classes, image_size: the properties of the data.
        num_steps: time steps T of a spiking network; None for an artificial one.
        rates: for a spiking network, the spikes per neuron and time step of each layer.
        sequences: whether a sample is a sequence of T frames.

    Raises:
        ValueError: a layer's rate is missing.
    """
    steps = num_steps or 1
    norm_products = 0 if norm in NORMS and _costs_nothing(norm) else 2 * steps
    of_each_step = (
        num_steps is not None and norm in NORMS and NORMS[norm].folds == "weights of each step"
    )
    counted = []
    for layer, connections, values, rate in _layers(
        trunk, in_channels, num_classes, image_size, rates if num_steps else None
    ):
        accumulates, products = 0.0, float(values * norm_products)
        if rate is None:
            constant = layer == trunk.layers[0].name and not sequences
            products += connections * (1 if constant else steps)
            if constant and of_each_step:  # an affine map per step costs less than a convolution
                products += values * steps
        else:
            accumulates = rate * steps * connections
        counted.append(Operations(layer, accumulates, products))
    return counted


def _costs_nothing(norm: str) -> bool:
    known = NORMS[norm]
    return norm == "none" or known.folds is not None or known.place == "weights"


def _layers(
    trunk: Trunk,
    in_channels: int,
    num_classes: int,
    image_size: int,
    rates: Mapping[str, float] | None,
) -> Iterator[tuple[str, int, int, float | None]]:
    """Yield each layer's name, connections, number of values to normalize, and rate of inputs.

    The rate is None if the inputs are not spikes.
    """
    shapes: dict[str | None, tuple[int, int]] = {None: (in_channels, image_size)}
    sent: dict[str | None, float | None] = {None: None}
    for layer in trunk.layers:
        channels, size = shapes[layer.source]
        size = -(-size // layer.stride)
        values = layer.channels * size**2
        yield layer.name, values * channels * layer.kernel**2, values, sent[layer.source]
        shapes[layer.name] = (layer.channels, size // 2 if layer.pool else size)
        sent[layer.name] = _sent(layer, sent, rates) if layer.fires else None
    last = trunk.layers[-1].name
    channels, size = shapes[last]
    features = channels if trunk.average else channels * size**2
    rate = None if trunk.average else sent[last]
    if trunk.hidden is not None:
        yield "hidden", features * trunk.hidden, 0, rate
        features, rate = trunk.hidden, _rate("hidden", rates)
    yield "classifier", features * num_classes, 0, rate


def _sent(
    layer: Layer, sent: Mapping[str | None, float | None], rates: Mapping[str, float] | None
) -> float | None:
    """The rate of a layer's output; None if it does not consist of spikes."""
    rate = _rate(layer.name, rates)
    if rate is None or layer.pool:
        return None
    if layer.adds is None or layer.adds.to != "spikes":
        return rate
    added = sent[layer.adds.output[0]]
    return None if added is None else rate + added


def _rate(layer: str, rates: Mapping[str, float] | None) -> float | None:
    if rates is None:
        return None
    if layer not in rates:
        raise ValueError(f"the spike rate of layer {layer!r} is missing")
    return rates[layer]
