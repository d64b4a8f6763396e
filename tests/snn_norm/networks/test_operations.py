"""Operations counted from a description, against what goes through the networks' own layers."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from snn_norm import ANNCNN, SNNCNN
from snn_norm.networks.operations import Operations, operations
from snn_norm.networks.table import make_trunk

TRUNKS: dict[str, dict[str, Any]] = {
    "reference": {"trunk": "reference", "width": 4},
    "vgg9": {"trunk": "vgg9", "width": 2},
    "resnet19": {"trunk": "resnet19", "width": 4},
    "plain": {"trunk": "resnet", "width": 4, "depth": 8, "shortcut": "none"},
    "spike": {"trunk": "resnet", "width": 4, "depth": 14, "shortcut": "spike"},
    "membrane": {"trunk": "resnet", "width": 4, "depth": 14, "shortcut": "membrane"},
}
SIZE_OF_LAST = {"resnet19": 4, "plain": 4, "spike": 4, "membrane": 4}
each_trunk = pytest.mark.parametrize("trunk", TRUNKS)
DATA = {"in_channels": 2, "num_classes": 5, "image_size": 16}
STEPS, IMAGES = 3, 2


def trunk_of(keys: dict[str, Any]) -> Any:
    return make_trunk(keys["trunk"], keys["width"], keys.get("depth"), keys.get("shortcut"))


def connections(module: nn.Module, given: Tensor) -> int:
    """The products of a weight and an input of this layer, one by one; padding is no input."""
    if isinstance(module, nn.Linear):
        return module.weight.numel()
    assert isinstance(module, nn.Conv2d)
    ones, padding = torch.ones_like(module.weight), int(module.padding[0])
    return int(F.conv2d(torch.ones_like(given[:1]), ones, None, module.stride, padding).sum())


@each_trunk
def test_an_artificial_networks_are_the_products_of_its_layers(trunk: str) -> None:
    model = ANNCNN("none", **DATA, **TRUNKS[trunk]).eval()
    found: dict[str, int] = {}

    def count(layer: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        found[layer] = connections(module, inputs[0])

    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(partial(count, name.rpartition(".")[2]))
    with torch.no_grad():
        model(torch.randn(1, 2, 16, 16))
    counted = operations(trunk_of(TRUNKS[trunk]), "none", **DATA)
    assert {one.layer: one.multiply_accumulates for one in counted} == found
    assert not any(one.accumulates or one.averaged or one.folded for one in counted)


@each_trunk
@pytest.mark.parametrize("sequences", [False, True])
def test_a_spiking_networks_are_what_its_layers_are_given(trunk: str, sequences: bool) -> None:
    torch.manual_seed(0)
    model = SNNCNN(
        "none", num_steps=STEPS, threshold=0.1, neuron="snntorch", **DATA, **TRUNKS[trunk]
    )
    for parameter in model.parameters():
        parameter.data.mul_(2)
    given: dict[str, list[Tensor]] = defaultdict(list)
    fired: dict[str, list[Tensor]] = defaultdict(list)
    for name, module in model.named_modules():
        layer = name.rpartition(".")[2]
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_pre_hook(
                lambda _m, inputs, layer=layer: given[layer].append(inputs[0].flatten(1))
            )
        elif name.startswith("neurons."):
            module.register_forward_hook(
                lambda _m, _i, output, layer=layer: fired[layer].append(
                    (output[0] if isinstance(output, tuple) else output).detach()
                )
            )
    images = torch.rand(IMAGES, STEPS, 2, 16, 16) if sequences else torch.rand(IMAGES, 2, 16, 16)
    with torch.no_grad():
        model.eval()(images)
    rates = {layer: torch.stack(spikes).mean().item() for layer, spikes in fired.items()}
    assert min(rates.values()) > 0.01
    counted = operations(
        trunk_of(TRUNKS[trunk]), "none", **DATA, num_steps=STEPS, rates=rates, sequences=sequences
    )
    dense = {
        o.layer: o.multiply_accumulates for o in operations(trunk_of(TRUNKS[trunk]), "none", **DATA)
    }
    assert [one.layer for one in counted] == list(dense)
    for one in counted:
        inputs = torch.stack(given[one.layer])
        if torch.equal(inputs, inputs.round()):  # spikes, or sums of them
            assert one.multiply_accumulates == 0
            expected = inputs.mean().item() * STEPS * dense[one.layer]
            assert one.accumulates == pytest.approx(expected, rel=1e-5)
        else:
            times = 1 if one.layer == "conv1" and not sequences else STEPS
            assert one.multiply_accumulates == dense[one.layer] * times
            assert one.accumulates == 0
            if one.layer == "conv1":
                assert (one.averaged, one.folded) == (0, 0)
                continue
            # An average of n spikes times n is how many of them there were.
            last = trunk_of(TRUNKS[trunk]).layers[-1]
            n = 4 if last.pool else SIZE_OF_LAST[trunk] ** 2
            assert one.averaged == one.multiply_accumulates
            expected = n * inputs.mean().item() * STEPS * dense[one.layer]
            assert one.folded == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("norm", "products"),
    [
        ("none", 0),
        ("batchnorm", 0),
        ("mpbn", 0),
        ("weightstd", 0),
        ("bntt", 1),  # its weights of each step do not fold into the one convolution of the image
        ("groupnorm", 2),
        ("my:Norm", 2),
    ],
)
def test_a_norm_costs_what_does_not_become_a_part_of_weights(norm: str, products: int) -> None:
    trunk = make_trunk("reference", 4)
    rates = {**{layer.name: 0.1 for layer in trunk.layers}, "hidden": 0.1}
    keys = {**DATA, "num_steps": STEPS, "rates": rates}
    without, counted = operations(trunk, "none", **keys), operations(trunk, norm, **keys)
    more = counted[0].multiply_accumulates - without[0].multiply_accumulates
    assert more == products * STEPS * 4 * 16 * 16
    assert counted[-1] == without[-1]  # no norm after the classifier
    if norm == "bntt":  # into a convolution of spikes they do, and into that of frames
        frames = [operations(trunk, n, **keys, sequences=True) for n in ("none", norm)]
        assert counted[1] == without[1]
        assert frames[0] == frames[1]


def test_their_energy() -> None:
    assert Operations("conv2", 1000.0, 0.0).nanojoules == pytest.approx(0.9)
    assert Operations("conv1", 0.0, 1000.0).nanojoules == pytest.approx(4.6)
    pooled = Operations("conv3", 0.0, 1000.0, averaged=900.0, folded=2000.0)
    assert pooled.nanojoules == pytest.approx(4.6)
    assert pooled.folded_nanojoules == pytest.approx(0.1 * 4.6 + 2 * 0.9)


def test_a_layer_without_a_rate() -> None:
    with pytest.raises(ValueError, match="spike rate of layer 'conv2' is missing"):
        operations(make_trunk("reference", 4), "none", **DATA, num_steps=3, rates={"conv1": 0.1})
