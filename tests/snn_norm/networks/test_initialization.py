from __future__ import annotations

import math
from pathlib import Path
from statistics import NormalDist
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from snn_norm import ANNCNN, SNNCNN
from snn_norm.data.dataset import load_dataset, normalize

LAYERS = [*(f"conv{index}" for index in range(1, 7)), "hidden"]


def spike_rates(**keys: Any) -> list[float]:
    """Of each layer on digits, in order."""
    data = load_dataset("digits", Path(), 16)
    x = normalize(data.train_images[:32], data.mean, data.std)
    torch.manual_seed(1)
    model = SNNCNN("none", num_steps=10, in_channels=1, image_size=16, **keys)
    rates: list[float] = []
    for neuron in model.neurons.values():
        neuron.register_forward_hook(lambda *hooked: rates.append(float(hooked[2].mean())))
    with torch.no_grad():
        model(x)
    return rates


@pytest.mark.parametrize("init", ["fluctuation", "activity"])
def test_deep_layers_fire_without_a_norm_where_pytorchs_weights_leave_them_silent(
    init: str,
) -> None:
    assert max(spike_rates(width=16)[3:]) < 0.001
    assert min(spike_rates(width=16, init=init)) > 0.03


def test_by_activity_twenty_layers_fire() -> None:
    keys: dict[str, Any] = {"trunk": "resnet", "depth": 20, "shortcut": "none", "width": 8}
    assert max(spike_rates(**keys)[4:]) < 0.01
    assert min(spike_rates(**keys, init="activity")) > 0.03


def weights_of(model: ANNCNN | SNNCNN) -> dict[str, Tensor]:
    assert isinstance(model.hidden, nn.Linear)
    layers = {**dict(model.convolutions.items()), "hidden": model.hidden}
    return {name: layer.weight for name, layer in layers.items()}


def deviations(init: str, **keys: Any) -> dict[str, float]:
    """Of weights, as a share of what one over the number of inputs makes."""
    torch.manual_seed(1)
    model = SNNCNN("none", init=init, width=32, image_size=16, **keys)
    weights = weights_of(model)
    return {name: float(w.detach().std() * math.sqrt(w[0].numel())) for name, w in weights.items()}


POOLED = {"conv3", "conv5", "hidden"}
"""The layers whose inputs are averages of four spikes."""


def expected(rate: float, gain: float) -> dict[str, float]:
    squares = {name: (rate + 3 * rate**2) / 4 if name in POOLED else rate for name in LAYERS}
    squares["conv1"] = 1.0
    return {name: gain / math.sqrt(square) for name, square in squares.items()}


def test_activitys_formula() -> None:
    rate = 1 - NormalDist().cdf(0.7)
    found = deviations("activity", threshold=0.7)
    assert found == pytest.approx(expected(rate, 1.0), rel=0.08)


def test_fluctuations_formula() -> None:
    rate, beta, steps = 1 - NormalDist().cdf(1.0), 0.8, 4
    sums = [sum(beta ** (2 * k) for k in range(t + 1)) for t in range(steps)]
    gain = 0.7 / math.sqrt(sum(sums) / steps)
    found = deviations("fluctuation", threshold=0.7, beta=beta, num_steps=steps)
    assert found == pytest.approx(expected(rate, gain), rel=0.08)


def test_kaimings_formula_is_both_networks() -> None:
    torch.manual_seed(1)
    spiking = weights_of(SNNCNN("none", init="kaiming", width=8))
    torch.manual_seed(1)
    artificial = weights_of(ANNCNN("none", init="kaiming", width=8))
    for name, weight in artificial.items():
        assert torch.equal(weight, spiking[name])
    assert deviations("kaiming") == pytest.approx(dict.fromkeys(LAYERS, math.sqrt(2)), rel=0.08)


def test_biases_are_zero_and_the_classifier_stays() -> None:
    torch.manual_seed(1)
    default = SNNCNN("none", width=4, image_size=16)
    torch.manual_seed(1)
    model = SNNCNN("none", init="activity", width=4, image_size=16)
    for layer in model.convolutions.values():
        assert layer.bias.abs().max() == 0
    assert torch.equal(model.classifier.weight, default.classifier.weight)


def test_the_seed_decides() -> None:
    models = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        models.append(SNNCNN("bntt", init="fluctuation", width=4, num_steps=2, image_size=16))
    first, same, other = (model.convolutions["conv2"].weight for model in models)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)
