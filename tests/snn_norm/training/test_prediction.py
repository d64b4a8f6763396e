"""The rule that foretells a collapse, on diagnostics made by hand and on networks."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from snn_norm.networks.cnn import ANNCNN
from snn_norm.networks.spiking import SNNCNN
from snn_norm.training.diagnostics import diagnose, layers_of
from snn_norm.training.prediction import COLLAPSES_BELOW, predict

LAYERS = ["a", "b", "c"]


def diagnostics(
    rates: tuple[float, ...], gradients: tuple[float, ...], *, spiking: bool = True
) -> dict[str, float]:
    found = {}
    for name, values in (("rate", rates), ("gradient", gradients)):
        found |= {f"{name}.{layer}": value for layer, value in zip(LAYERS, values, strict=True)}
    return found | ({f"shift.{layer}": 0.1 for layer in LAYERS} if spiking else {})


@pytest.mark.parametrize(
    ("rate", "gradients", "signal"),
    [
        (0.2, (0.5, 1e-3, 0.1), 0.2 * 1e-2),
        (0.2, (0.5, 0.5, 0.1), 0.2),  # the last layer is the one with least: all of it comes back
        (0.0, (0.5, 1e-3, 0.1), 1e-6 * 1e-2),  # in one batch
        (math.nan, (0.5, 1e-3, 0.1), 1e-6 * 1e-2),
        (0.2, (0.5, 0.0, 0.1), 0.0),
        (0.2, (0.0, 0.0, 0.0), 0.0),
    ],
)
def test_of_spikes_it_is_the_last_rate_and_the_least_gradient(
    rate: float, gradients: tuple[float, ...], signal: float
) -> None:
    found = predict(diagnostics((0.3, 0.0, rate), gradients), LAYERS)
    assert found is not None
    assert found.signal == pytest.approx(signal)


@pytest.mark.parametrize(
    ("gradients", "layer", "signal"),
    [
        ((1e-12, 0.1, 0.5), "a", 2e-12),
        ((0.1, 1e-12, 0.5), "b", 2e-12),
        ((0, 0.1, 0), "a", 0),
        ((1, 1, math.nan), "c", 0),
    ],
)
def test_of_rectified_units_it_is_the_gradients_way_back(
    gradients: tuple[float, ...], layer: str, signal: float
) -> None:
    found = predict(diagnostics((0.5, 0.5, 0.5), gradients, spiking=False), LAYERS)
    assert found is not None
    assert (found.layer, found.collapses) == (layer, True)
    assert found.signal == pytest.approx(signal)


@pytest.mark.parametrize(
    ("rates", "layer", "cause"),
    [
        ((0.1, 0.002, 0.0), "b", "b fires 0.002 spikes a neuron and step"),
        ((0.0, 0.1, 0.0), "c", "c fires 0 spikes a neuron and step"),
        ((0.1, 0.1, 0.1), "b", "b gets 2e-12 of the gradient of c"),
    ],
)
def test_it_says_where_the_signal_is_lost(rates: tuple[float, ...], layer: str, cause: str) -> None:
    found = predict(diagnostics(rates, (0.1, 1e-12, 0.5)), LAYERS)
    assert found is not None
    assert (found.collapses, found.layer, found.cause) == (True, layer, cause)


def test_of_a_network_without_diagnostics_nothing_is_known() -> None:
    assert predict({}, LAYERS) is None
    assert predict({"rate.d": 0.5}, LAYERS) is None


@pytest.mark.parametrize(
    ("model", "collapses"),
    [
        (lambda: SNNCNN("none", width=8, num_steps=5, in_channels=1, image_size=16), True),
        (lambda: SNNCNN("bntt", width=8, num_steps=5, in_channels=1, image_size=16), False),
        (
            lambda: SNNCNN(
                "none", width=8, num_steps=5, threshold=0.3, in_channels=1, image_size=16
            ),
            False,
        ),
        (lambda: ANNCNN("batchnorm", width=8, in_channels=1, image_size=16), False),
    ],
)
def test_a_network_before_its_first_step(model: object, collapses: bool) -> None:
    network = model()  # type: ignore[operator]
    x = torch.randn(8, 1, 16, 16)
    found = predict(
        diagnose(network, lambda twin: F.cross_entropy(twin(x), torch.arange(8)), seed=1),
        layers_of(network),
    )
    assert found is not None
    assert found.collapses is collapses, (found, COLLAPSES_BELOW)
