"""What a norm does as an operation of its own, and what neurons do in its place."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor

from snn_norm.neurons.layers import LIF
from snn_norm.norms.make import make_norm
from snn_norm.norms.table import NORMS, norms_of

T, N, C = 3, 4, 2

STANDARDIZING = [
    name
    for name in norms_of("snn")
    if name not in ("none", "groupnorm", "layernorm") and NORMS[name].place == "currents"
]


def currents(seed: int, steps: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(steps, N, C, 4, 4, generator=generator, dtype=torch.float64)
    return (x * (1 + 0.5 * seed) + 0.3 * seed).requires_grad_()


def gradients(norm: Any, spikes: Tensor, x: Tensor) -> tuple[Tensor, ...]:
    weights = torch.linspace(-1, 1, spikes.numel(), dtype=spikes.dtype).view(spikes.shape)
    return torch.autograd.grad((spikes * weights).sum(), [x, *norm.parameters()])


@pytest.mark.parametrize("constant", [False, True])
@pytest.mark.parametrize("name", STANDARDIZING)
def test_spikes_and_gradients_are_the_same(name: str, constant: bool) -> None:
    torch.manual_seed(0)
    norm, neurons = make_norm(name, C, T).double(), LIF(slope=2.0)
    with torch.no_grad():
        for parameter in norm.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    fused = copy.deepcopy(norm)
    for seed, training in enumerate([True, True, True, False]):
        norm.train(training), fused.train(training)
        x, again = (currents(seed, 1 if constant else T) for _ in range(2))
        expected = neurons(norm(x.expand(T, -1, -1, -1, -1)))
        spikes = neurons(again, fused.standardization(again, slice(0, T)), num_steps=T)
        assert torch.equal(spikes, expected)
        torch.testing.assert_close(
            gradients(fused, spikes, again), gradients(norm, expected, x), rtol=1e-9, atol=1e-11
        )
        torch.testing.assert_close(fused.state_dict(), norm.state_dict(), rtol=1e-12, atol=1e-12)


def test_on_the_membrane_each_step_moves_the_statistics() -> None:
    norm = make_norm("mpbn", C, T).double()
    neurons = LIF(beta=0.5, on_membrane=norm)
    x = currents(1, T)
    expected, membrane = copy.deepcopy(norm), torch.zeros(N, C, 4, 4, dtype=torch.float64)
    fired = torch.zeros_like(membrane)
    spikes = neurons(x)
    for t in range(T):
        membrane = 0.5 * membrane + x[t] - fired  # the raw one goes on
        fired = (expected(membrane, t) > 1).double()
        assert torch.equal(spikes[t], fired)
    torch.testing.assert_close(norm.state_dict(), expected.state_dict())
    assert norm.num_batches_tracked == T
