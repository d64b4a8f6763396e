"""The cost of a forward pass of a trunk, in synaptic operations. This module imports no torch.

A spike that reaches a synapse adds a weight: an accumulate. Any other value is multiplied by the
weight first: a multiply-accumulate. The count is for one image, by the conventions of the field:

- In a layer whose inputs are spikes, accumulates = rate · T · connections. A neuron's rate is its
  number of spikes per time step, and connections are the multiply-accumulates of one dense pass.
  Where the spikes of a shortcut are added to others, the rates are added too. A weight that meets
  the padding around an image is no connection. Neurons at the border, which have fewer
  connections, are taken to fire as often as the others.
- In a layer whose inputs are not spikes, multiply-accumulates = T · connections, including zeros.
  Such inputs are event frames. An image that is the same at every step is convolved once.
- Averages of n spikes, over squares or over an image, can be counted in two ways, and which is
  chosen can decide whether a spiking network costs more than an artificial one. *Multiplied*: they
  are no spikes, so each is a multiply-accumulate. *Folded*: the average is folded into the weights
  after it, so each spike is an accumulate, and accumulates = n · rate · T · connections.
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
from typing import NamedTuple

from snn_norm.networks.table import Layer, Trunk
from snn_norm.norms.table import NORMS

PICOJOULE_MULTIPLY_ACCUMULATE = 4.6
PICOJOULE_ACCUMULATE = 0.9
"""Energy of 32-bit floating point operations in 45 nm, without memory (Horowitz 2014,
https://doi.org/10.1109/ISSCC.2014.6757323: a multiplication 3.7 pJ, an addition 0.9 pJ)."""


@dataclass(frozen=True)
class Operations:
    """The operations of one layer for one image.

    Args:
        layer: its name.
        accumulates, multiply_accumulates: with averages multiplied.
        averaged: those of the multiply-accumulates whose inputs are averages of spikes.
        folded: the accumulates that replace these if averages are folded.
    """

    layer: str
    accumulates: float
    multiply_accumulates: float
    averaged: float = 0.0
    folded: float = 0.0

    @property
    def nanojoules(self) -> float:
        """The estimated energy of the operations, with averages multiplied."""
        return _energy(self.accumulates, self.multiply_accumulates)

    @property
    def folded_nanojoules(self) -> float:
        """The estimated energy with averages folded into the weights after them."""
        products = self.multiply_accumulates - self.averaged
        return _energy(self.accumulates + self.folded, products)


def _energy(accumulates: float, products: float) -> float:
    return (PICOJOULE_ACCUMULATE * accumulates + PICOJOULE_MULTIPLY_ACCUMULATE * products) / 1000


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
    known = NORMS.get(norm)
    free = known and (norm == "none" or known.folds is not None or known.place == "weights")
    norm_products = 0 if free else 2 * steps
    of_each_step = num_steps is not None and known and known.folds == "weights of each step"
    counted = []
    for layer, connections, values, inputs in _layers(
        trunk, in_channels, num_classes, image_size, rates if num_steps else None
    ):
        accumulates, products = 0.0, float(values * norm_products)
        averaged = folded = 0.0
        if inputs is not None:
            of_spikes = inputs.rate * inputs.averaged * steps * connections
            if inputs.averaged == 1:
                accumulates = of_spikes
            else:
                averaged, folded = float(steps * connections), of_spikes
                products += averaged
        else:
            constant = layer == trunk.layers[0].name and not sequences
            products += connections * (1 if constant else steps)
            if constant and of_each_step:  # an affine map per step costs less than a convolution
                products += values * steps
        counted.append(Operations(layer, accumulates, products, averaged, folded))
    return counted


class _Inputs(NamedTuple):
    """Inputs that are spikes, or averages of spikes."""

    rate: float
    averaged: int = 1
    """Spikes in an average."""


def _layers(
    trunk: Trunk,
    in_channels: int,
    num_classes: int,
    image_size: int,
    rates: Mapping[str, float] | None,
) -> Iterator[tuple[str, int, int, _Inputs | None]]:
    """Yield each layer's name, connections, number of values to normalize, and inputs.

    The inputs are None if they do not come from spikes.
    """
    shapes: dict[str | None, tuple[int, int]] = {None: (in_channels, image_size)}
    outputs: dict[str | None, _Inputs | None] = {None: None}
    for layer in trunk.layers:
        channels, before = shapes[layer.source]
        size = -(-before // layer.stride)
        taps = _taps(before, layer.kernel, layer.stride)
        connections = layer.channels * channels * taps**2
        yield layer.name, connections, layer.channels * size**2, outputs[layer.source]
        shapes[layer.name] = (layer.channels, size // 2 if layer.pool else size)
        outputs[layer.name] = _output_of(layer, outputs, rates) if layer.fires else None
    last = trunk.layers[-1].name
    channels, size = shapes[last]
    features, inputs = channels * size**2, outputs[last]
    if trunk.average:
        features = channels
        inputs = inputs and inputs._replace(averaged=inputs.averaged * size**2)
    if trunk.hidden is not None:
        yield "hidden", features * trunk.hidden, 0, inputs
        rate = _rate("hidden", rates)
        features, inputs = trunk.hidden, None if rate is None else _Inputs(rate)
    yield "classifier", features * num_classes, 0, inputs


def _taps(size: int, kernel: int, stride: int) -> int:
    """The pairs of an output and a weight that meet an input, along one axis of an image."""
    starts = range(-(kernel // 2), size - kernel // 2, stride)
    return sum(0 <= start + offset < size for start in starts for offset in range(kernel))


def _output_of(
    layer: Layer, outputs: Mapping[str | None, _Inputs | None], rates: Mapping[str, float] | None
) -> _Inputs | None:
    """What a layer sends on; None if it does not come from spikes."""
    rate = _rate(layer.name, rates)
    if rate is None:
        return None
    if layer.adds is not None and layer.adds.to == "spikes":
        added = outputs[layer.adds.output[0]]
        if added is None:
            return None
        rate += added.rate
    return _Inputs(rate, 4 if layer.pool else 1)


def _rate(layer: str, rates: Mapping[str, float] | None) -> float | None:
    if rates is None:
        return None
    if layer not in rates:
        raise ValueError(f"the spike rate of layer {layer!r} is missing")
    return rates[layer]
