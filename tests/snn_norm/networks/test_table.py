"""The trunks' descriptions: what is in them, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from snn_norm.networks.table import TRUNKS, Layer, check_init, make_trunk


def weights(layers: tuple[Layer, ...]) -> list[Layer]:
    return [layer for layer in layers if not layer.name.endswith("_shortcut")]


@pytest.mark.parametrize(
    ("trunk", "channels", "pooled", "hidden"),
    [
        ("reference", [64, 64, 128, 128, 256, 256], {"conv2", "conv4", "conv6"}, 256),
        ("vgg9", [64, 64, 128, 128, 256, 256, 256], {"conv2", "conv4", "conv7"}, 1024),
    ],
)
def test_trunks_in_sequence(trunk: str, channels: list[int], pooled: set[str], hidden: int) -> None:
    made = make_trunk(trunk)
    assert [layer.channels for layer in made.layers] == channels
    sources = [None, *(layer.name for layer in made.layers[:-1])]
    assert [layer.source for layer in made.layers] == sources
    assert made.pooled == pooled
    assert made.hidden == hidden
    assert all(layer.adds is None and layer.fires for layer in made.layers)


def test_resnet19_is_the_fields() -> None:
    trunk = make_trunk("resnet19")
    layers = weights(trunk.layers)
    assert len(layers) + 2 == 19  # a hidden layer and the classifier besides
    assert [layer.channels for layer in layers] == [128] * 7 + [256] * 6 + [512] * 4
    halved = ["stage2_block1_conv1", "stage3_block1_conv1"]
    assert [layer.name for layer in layers if layer.stride == 2] == halved
    assert trunk.hidden == 256
    assert sum(layer.adds is not None for layer in layers) == 8


@pytest.mark.parametrize("depth", [8, 20, 32, 56])
@pytest.mark.parametrize("shortcut", ["none", "spike", "membrane"])
def test_resnet_has_the_depth_it_says(depth: int, shortcut: str) -> None:
    trunk = make_trunk("resnet", 4, depth, shortcut)
    layers = weights(trunk.layers)
    assert len(layers) + 1 == depth  # and the classifier
    blocks = (depth - 2) // 6
    assert [layer.channels for layer in layers[1:]] == [
        channels for channels in (4, 8, 16) for _ in range(2 * blocks)
    ]
    projections = [layer for layer in trunk.layers if layer not in layers]
    added = [layer.adds for layer in layers if layer.adds is not None]
    if shortcut == "none":
        assert not projections
        assert not added
    else:
        assert len(added) == 3 * blocks
        assert len(projections) == 2
        kind = "spikes" if shortcut == "spike" else "currents"
        assert {add.to for add in added} == {kind}
        assert {add.output[1] for add in added} == {kind}
        assert all(layer.fires == (shortcut == "spike") for layer in projections)


@pytest.mark.parametrize("name", TRUNKS)
def test_layers_take_what_earlier_ones_put_out(name: str) -> None:
    trunk = make_trunk(name)
    known: set[str | None] = {None}
    for layer in trunk.layers:
        assert layer.source in known
        assert layer.adds is None or layer.adds.output[0] in known
        assert layer.name not in known
        known.add(layer.name)


def test_defaults_are_those_of_the_papers() -> None:
    assert make_trunk("resnet") == make_trunk("resnet", 16, 20, "membrane")
    assert make_trunk("resnet19") == make_trunk("resnet19", 128)
    assert make_trunk("vgg9") == make_trunk("vgg9", 64)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("vgg", None, None), "trunk must be one of reference, vgg9.*'vgg'; did you mean 'vgg9'"),
        (("vgg9", 20, None), "depth belongs to the trunk resnet; trunk is 'vgg9': take depth out"),
        (("resnet19", None, "spike"), "shortcut belongs to the trunk resnet"),
        (("resnet", 18, None), r"depth must be 6n \+ 2 from 8 to 110, such as 20, got 18"),
        (("resnet", 2, None), "depth must be"),
        (("resnet", 116, None), "depth must be"),
        (("resnet", 20, "spikes"), "shortcut must be one of none, spike, .*mean 'spike'"),
    ],
)
def test_wrong_keys_are_named(arguments: Any, message: str) -> None:
    name, depth, shortcut = arguments
    with pytest.raises(ValueError, match=message):
        make_trunk(name, 4, depth, shortcut)


def test_a_wrong_start_is_named() -> None:
    check_init("activity", spiking=True)
    with pytest.raises(ValueError, match=r"init of a spiking network .*mean 'kaiming'"):
        check_init("kaming", spiking=True)
    with pytest.raises(ValueError, match=r"init of an artificial network .* default, kaiming, got"):
        check_init("activity", spiking=False)


def test_the_table_needs_no_torch() -> None:
    program = "import sys, snn_norm.networks.table; print('torch' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert found.stdout == b"False\n"
