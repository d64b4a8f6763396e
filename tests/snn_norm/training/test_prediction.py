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
    rates: tuple[float, ...],
    supports: tuple[float, ...],
    gradients: tuple[float, ...] = (1, 1, 1),
    *,
    spiking: bool = True,
) -> dict[str, float]:
    found = {}
    for name, values in (("rate", rates), ("support", supports), ("gradient", gradients)):
        found |= {f"{name}.{layer}": value for layer, value in zip(LAYERS, values, strict=True)}
    return found | ({f"shift.{layer}": 0.1 for layer in LAYERS} if spiking else {})


def test_of_spikes_it_is_the_last_layer_in_both_directions() -> None:
    found = predict(diagnostics((0.3, 0.0, 0.2), (1e-9, 1e-5, 0.5)), LAYERS)
    assert found is not None
    assert found.signal == pytest.approx(0.2 * 0.5)
    assert not found.collapses


@pytest.mark.parametrize(
    ("gradients", "signal"), [((1e-6, 0.1, 0.5), 1e-6), ((0, 0.1, 0), 0), ((1, 1, math.nan), 0)]
)
def test_of_rectified_units_it_is_the_gradients_way_back(
    gradients: tuple[float, ...], signal: float
) -> None:
    halves = (0.5, 0.5, 0.5)
    found = predict(diagnostics(halves, halves, gradients, spiking=False), LAYERS)
    assert found is not None
    assert (found.layer, found.collapses) == ("a", True)
    assert found.signal == pytest.approx(signal)


@pytest.mark.parametrize(
    ("rates", "supports", "layer", "cause"),
    [
        ((0.1, 0.002, 0.0), (0.1, 0.1, 0.1), "b", "b fires 0.002 spikes a neuron and step"),
        ((0.0, 0.1, 0.0), (0.1, 0.1, 0.1), "c", "c fires 0 spikes a neuron and step"),
        ((0.1, 0.1, 0.1), (0.1, 0.1, 1e-4), "c", "of c lets 0.0001 of a gradient through"),
    ],
)
def test_it_says_where_the_signal_is_lost(
    rates: tuple[float, ...], supports: tuple[float, ...], layer: str, cause: str
) -> None:
    found = predict(diagnostics(rates, supports), LAYERS)
    assert found is not None
    assert (found.collapses, found.layer) == (True, layer)
    assert found.cause.endswith(cause)


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
