"""torch.compile around spiking layers, which it leaves as they are."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from snn_norm.networks.cnn import SNNCNN
from snn_norm.neurons import LIF


def test_a_spiking_network_gives_its_own_numbers_for_any_number_of_images() -> None:
    torch.manual_seed(0)
    network = SNNCNN("homeostatic", num_steps=3, width=4, image_size=8, in_channels=1)
    twin = copy.deepcopy(network)
    compiled = torch.compile(twin)
    for count in (4, 6, 5):
        x = torch.rand(count, 1, 8, 8)
        y, expected = compiled(x), network(x)
        assert torch.equal(y, expected)
        y.square().sum().backward(), expected.square().sum().backward()
    for ours, theirs in zip(twin.parameters(), network.parameters(), strict=True):
        assert torch.equal(ours.grad, theirs.grad)


def test_nothing_of_a_neurons_loop_is_traced() -> None:
    graphs = []

    def backend(graph: torch.fx.GraphModule, _: Any) -> Callable[..., Tensor]:
        graphs.append(graph)
        return graph.forward

    neurons = LIF()
    x = torch.rand(3, 4, 5)
    assert torch.equal(torch.compile(neurons, backend=backend)(x), neurons(x))
    assert graphs == []
