"""Surrogate gradients against their formulas in other libraries, and against slow loops."""

from __future__ import annotations

import math

import pytest
import snntorch
import torch
from spikingjelly.activation_based import surrogate as spikingjelly
from torch import Tensor

from snn_norm import LIF
from snn_norm.neurons.surrogates import add_gradient_
from snn_norm.neurons.table import SURROGATES

PRIMITIVES = {
    "fast_sigmoid": lambda u, k: u / (1 + k * u.abs()),
    "atan": lambda u, k: torch.atan(math.pi / 2 * k * u) / math.pi,
    "triangle": lambda u, k: k * u.clamp(-1 / k, 1 / k) * (1 - k * u.abs().clamp(max=1 / k) / 2),
    "rectangle": lambda u, k: (k * u).clamp(-0.5, 0.5),
    "sigmoid": lambda u, k: torch.sigmoid(k * u),
}
"""What each is the derivative of."""

PEERS = {
    ("snntorch", "fast_sigmoid"): snntorch.surrogate.fast_sigmoid,
    ("snntorch", "atan"): snntorch.surrogate.atan,
    ("snntorch", "sigmoid"): snntorch.surrogate.sigmoid,
    ("spikingjelly", "atan"): spikingjelly.ATan,
    ("spikingjelly", "triangle"): spikingjelly.PiecewiseQuadratic,
    ("spikingjelly", "rectangle"): spikingjelly.Rect,
    ("spikingjelly", "sigmoid"): spikingjelly.Sigmoid,
}


def membranes_above() -> Tensor:
    """Not at the corners of any surrogate."""
    return torch.linspace(-2.3, 2.1, 101, dtype=torch.float64)


def derivative(surrogate: str, slope: float) -> Tensor:
    above = membranes_above()
    grad = torch.zeros_like(above)
    add_gradient_(grad, torch.ones_like(above), above, surrogate, slope)
    return grad


@pytest.mark.parametrize("slope", [0.7, 3.0])
@pytest.mark.parametrize("surrogate", SURROGATES)
def test_a_surrogate_is_the_slope_of_its_primitive(surrogate: str, slope: float) -> None:
    primitive, step = PRIMITIVES[surrogate], 1e-6
    u = membranes_above()
    differences = (primitive(u + step, slope) - primitive(u - step, slope)) / (2 * step)
    torch.testing.assert_close(derivative(surrogate, slope), differences, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("library", "surrogate"), PEERS)
def test_a_surrogate_is_that_of_other_libraries(library: str, surrogate: str) -> None:
    u = membranes_above().float().requires_grad_()  # snnTorch's spikes are in float32
    spikes = PEERS[library, surrogate](1.7)(u)
    (grad,) = torch.autograd.grad(spikes.sum(), u)
    torch.testing.assert_close(derivative(surrogate, 1.7), grad.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("surrogate", SURROGATES)
def test_usual_slopes_are_those_of_the_libraries(surrogate: str) -> None:
    library = "snntorch" if surrogate == "fast_sigmoid" else "spikingjelly"
    u = membranes_above().float().requires_grad_()
    (grad,) = torch.autograd.grad(PEERS[library, surrogate]()(u).sum(), u)
    slope = LIF(surrogate=surrogate).slope
    torch.testing.assert_close(derivative(surrogate, slope), grad.double(), rtol=1e-5, atol=1e-6)


def test_gradients_are_added() -> None:
    above, grad, grad_spikes = torch.zeros(3), torch.ones(3), torch.tensor([0.0, 1.0, -2.0])
    add_gradient_(grad, grad_spikes, above, "fast_sigmoid", 25.0)
    assert grad.tolist() == [1.0, 2.0, -1.0]
