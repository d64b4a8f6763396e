"""The table of all trunks that a configuration may name. This module imports no torch.

A trunk is a list of layers, each a convolution, a norm and neurons. The artificial and the spiking
network run the same list, so that only the neuron differs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, TypeAlias

from snn_norm.bounds import check_bounds
from snn_norm.wording import not_among

Kind: TypeAlias = Literal["currents", "spikes"]
"""Input and output of a layer's neurons; in an artificial network, spikes are activations."""

Output: TypeAlias = tuple[str, Kind]
"""Currents or spikes of the layer with this name."""

INITS = ("default", "kaiming", "fluctuation", "activity")
"""Initial weights; see :mod:`snn_norm.networks.initialization`."""

_SPIKING_INITS = ("fluctuation", "activity")

SHORTCUTS = ("none", "spike", "membrane")
"""The shortcuts of trunk resnet; see :func:`_resnet`."""

_Shortcut: TypeAlias = Literal["none", "spike", "membrane", "current"]
"""Also that of resnet19: the input spikes of a block, added to the currents of its second layer."""


@dataclass(frozen=True)
class Addition:
    """A shortcut: an earlier output, added to a layer's currents or to its spikes."""

    output: Output
    to: Kind


@dataclass(frozen=True)
class Layer:
    """A convolution, a norm, and neurons.

    Args:
        name: its name in the ``state_dict`` and the metrics.
        source: the layer whose spikes are its input; None for the image.
        channels: the number of its output channels.
        kernel, stride: sizes of the convolution, which is padded to keep the size at stride 1.
        fires: whether neurons follow; a projection that is added to currents has none.
        adds: its shortcut.
        pool: whether to average the spikes over 2x2 squares.
        cheap: whether it is recomputed rather than kept if there are many time steps.
    """

    name: str
    source: str | None
    channels: int
    kernel: int = 3
    stride: int = 1
    fires: bool = True
    adds: Addition | None = None
    pool: bool = False
    cheap: bool = False

    @property
    def is_summand(self) -> bool:
        """Whether its currents are added to those of another layer, before the neurons."""
        return not self.fires or (self.adds is not None and self.adds.to == "currents")


@dataclass(frozen=True)
class Trunk:
    """A network up to its classifier.

    Args:
        layers: each layer comes after those whose outputs it uses.
        hidden: neurons of a fully connected layer before the classifier; None for no such layer.
        average: whether the output of the last layer is averaged over H and W instead of flattened.
    """

    layers: tuple[Layer, ...]
    hidden: int | None
    average: bool = False

    @cached_property
    def uses(self) -> Counter[Output]:
        """The number of layers that use each output."""
        sources: list[Output] = [(layer.source, "spikes") for layer in self.layers if layer.source]
        return Counter(sources + [layer.adds.output for layer in self.layers if layer.adds])

    def takes_currents(self, layer: Layer) -> bool:
        """Whether a layer's currents are a sum, or are used by more than its neurons."""
        return layer.is_summand or self.uses[layer.name, "currents"] > 0

    @cached_property
    def spiking(self) -> set[str]:
        """The layers that have neurons."""
        hidden = {"hidden"} if self.hidden is not None else set()
        return {layer.name for layer in self.layers if layer.fires} | hidden

    @cached_property
    def pooled(self) -> set[str | None]:
        """The layers whose spikes are averaged over squares."""
        return {layer.name for layer in self.layers if layer.pool}


def _in_sequence(width: int, convolutions: tuple[int, ...], hidden: int) -> Trunk:
    """Stages of so many convolutions and a pool; each is twice as wide as the previous."""
    layers: list[Layer] = []
    for stage, number in enumerate(convolutions):
        for left in reversed(range(number)):
            name, source = f"conv{len(layers) + 1}", f"conv{len(layers)}" if layers else None
            # The second and third have most of the output values, but little of the arithmetic.
            cheap = name in ("conv2", "conv3")
            layers.append(Layer(name, source, width * 2**stage, pool=not left, cheap=cheap))
    return Trunk(tuple(layers), hidden)


def _residual(
    width: int, blocks: tuple[int, ...], shortcut: _Shortcut, hidden: int | None
) -> Trunk:
    """A first convolution, then stages of blocks; each stage has half the size of the previous."""
    layers = [Layer("conv1", None, width)]
    for stage, number in enumerate(blocks):
        for block in range(number):
            name = f"stage{stage + 1}_block{block + 1}"
            stride = 2 if stage and not block else 1
            layers += _block(name, layers[-1], width * 2**stage, stride, shortcut)
    return Trunk(tuple(layers), hidden, average=True)


def _block(
    name: str, before: Layer, channels: int, stride: int, shortcut: _Shortcut
) -> list[Layer]:
    first = Layer(f"{name}_conv1", before.name, channels, stride=stride)
    if shortcut == "none":
        return [first, Layer(f"{name}_conv2", first.name, channels)]
    to: Kind = "spikes" if shortcut == "spike" else "currents"
    output: Output = (before.name, "currents" if shortcut == "membrane" else "spikes")
    projections = []
    if stride > 1:
        projection = f"{name}_shortcut"
        fires = shortcut == "spike"
        projections = [Layer(projection, before.name, channels, 1, stride, fires)]
        output = (projection, to)
    second = Layer(f"{name}_conv2", first.name, channels, adds=Addition(output, to))
    return [*projections, first, second]


def _resnet(width: int, depth: int = 20, shortcut: _Shortcut = "membrane") -> Trunk:
    """The networks of He et al. for small images, 6n + 2 layers (https://arxiv.org/abs/1512.03385).

    Where the size is halved, the shortcut has a 1x1 convolution and a norm.

    Args:
        width: channels of the first stage; 16 in the paper.
        depth: 6n + 2, counted without shortcuts.
        shortcut: ``none``; ``spike``: the input spikes of a block are added to its output spikes,
            as in SEW-ResNet (https://arxiv.org/abs/2102.04159); ``membrane``: the currents are
            added, which thus pass from block to block without neurons in between, as in MS-ResNet
            (https://arxiv.org/abs/2112.08954). In an artificial network these are sums of
            activations, and the pre-activations of https://arxiv.org/abs/1603.05027.
    """
    return _residual(width, (depth // 6,) * 3, shortcut, None)


@dataclass(frozen=True)
class _Kind:
    """The function that makes a trunk, and the width at which the trunk was published."""

    make: Callable[..., Trunk]
    width: int


TRUNKS = {
    "reference": _Kind(lambda width: _in_sequence(width, (2, 2, 2), 256), 64),
    "vgg9": _Kind(lambda width: _in_sequence(width, (2, 2, 3), 16 * width), 64),
    "resnet19": _Kind(lambda width: _residual(width, (3, 3, 2), "current", 2 * width), 128),
    "resnet": _Kind(_resnet, 16),
}
"""Trunks by name.

vgg9 is the network of BNTT's paper (https://arxiv.org/abs/2010.01729), and resnet19 the field's
ResNet-19 (tdBN, https://arxiv.org/abs/2011.05280), whose shortcuts end before the neurons, as in
the first networks of He et al.
"""


def make_trunk(
    name: str, width: int | None = None, depth: int | None = None, shortcut: str | None = None
) -> Trunk:
    """Make a trunk from its name.

    Args:
        name: a key of :data:`TRUNKS`.
        width: channels of the first convolution; None for the number in the trunk's paper.
        depth: for trunk resnet only, 6n + 2; None for 20.
        shortcut: for trunk resnet only, one of :data:`SHORTCUTS`; None for membrane.

    Raises:
        ValueError: the name is unknown, the width is below 1, or :func:`check_depth` or
            :func:`check_trunk` raises it.
    """
    if name not in TRUNKS:
        raise ValueError(f"trunk {not_among(TRUNKS, name)}")
    if shortcut is not None and shortcut not in SHORTCUTS:
        raise ValueError(f"shortcut {not_among(SHORTCUTS, shortcut)}")
    if depth is not None:
        check_depth(depth)
    check_trunk(name, depth, shortcut)
    check_bounds(width=width)
    given = {"depth": depth, "shortcut": shortcut}
    keys = {key: value for key, value in given.items() if value is not None}
    return TRUNKS[name].make(width or TRUNKS[name].width, **keys)


def check_depth(depth: int) -> int:
    """Return the depth; refuse one that is not 6n + 2.

    Raises:
        ValueError: its message begins with the key.
    """
    if depth % 6 != 2 or not 8 <= depth <= 110:
        raise ValueError(f"depth must be 6n + 2 from 8 to 110, such as 20, got {depth}")
    return depth


def check_trunk(name: str, depth: int | None, shortcut: str | None) -> None:
    """Refuse keys that belong to another trunk.

    Raises:
        ValueError: its message begins with the key.
    """
    for key, value in (("depth", depth), ("shortcut", shortcut)):
        if value is not None and name != "resnet":
            raise ValueError(
                f"{key} belongs to the trunk resnet; trunk is {name!r}: "
                f"take {key} out, or set trunk to resnet"
            )


def check_init(init: str, *, spiking: bool) -> None:
    """Refuse an unknown initialization, and one that an artificial network cannot have.

    Raises:
        ValueError: its message begins with the key.
    """
    known = [name for name in INITS if spiking or name not in _SPIKING_INITS]
    if init not in known:
        network = "a spiking" if spiking else "an artificial"
        raise ValueError(f"init of {network} network {not_among(known, init)}")
