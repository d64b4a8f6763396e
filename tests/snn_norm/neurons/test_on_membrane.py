"""Norms on the membrane, before the threshold, against a slow loop that autograd follows."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm import LIF, BatchNormThroughTime2d, TemporalHomeostaticNorm2d
from snn_norm.neurons.engine import choose_engine
from snn_norm.neurons.layers import PLIF, State

T, N, C, SIZE = 5, 2, 3, 4
NORMS = [BatchNormThroughTime2d, TemporalHomeostaticNorm2d]


def currents(steps: int = T) -> Tensor:
    generator = torch.Generator().manual_seed(steps)
    x_TNHWC = torch.randn(steps, N, SIZE, SIZE, C, dtype=torch.float64, generator=generator)
    return x_TNHWC.movedim(-1, 2) * 0.6 + 0.3


def made(norm: type[nn.Module]) -> nn.Module:
    """With moving statistics and parameters of their own."""
    torch.manual_seed(0)
    layer = norm(C, T, dtype=torch.float64)
    layer(currents() * 2 + 1)
    for parameter in layer.parameters():
        nn.init.uniform_(parameter, 0.5, 1.5)
    return layer


def loop(
    x_TNCHW: Tensor, neuron: LIF, norm: nn.Module, before: nn.Module | None
) -> tuple[Tensor, Tensor]:
    """Spikes with the fast sigmoid in them, and the last membrane: nothing normalized is kept."""
    membrane = torch.zeros_like(x_TNCHW[0])
    fired, spikes_TN = torch.zeros_like(membrane), []
    for t in range(T):
        if neuron.reset == "zero":
            membrane = membrane * (1 - fired)
        x = x_TNCHW[t % len(x_TNCHW)]
        membrane = neuron.decay() * membrane + (x if before is None else before(x, t))
        if neuron.reset == "subtract":
            membrane = membrane - neuron.threshold * fired
        above = norm(membrane, t) - neuron.threshold
        fired = (above > 0).to(x.dtype)
        smooth = above / (1 + neuron.slope * above.abs())
        spikes_TN.append(fired + smooth - smooth.detach())
    return torch.stack(spikes_TN), membrane


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    ("norm", "reset", "steps", "pool", "currents_too"),
    [
        (BatchNormThroughTime2d, "subtract", T, False, False),
        (TemporalHomeostaticNorm2d, "zero", T, True, True),
        (TemporalHomeostaticNorm2d, "subtract", 1, False, True),
    ],
)
def test_a_norm_on_the_membrane_is_the_plain_loop(
    norm: type[nn.Module], reset: str, steps: int, pool: bool, currents_too: bool, training: bool
) -> None:
    """Spikes, all gradients and moving statistics."""
    x = currents(steps).requires_grad_()
    results = []
    for slow in (False, True):
        neuron = PLIF(0.8, 0.4, 3.0, reset=reset, on_membrane=made(norm)).double().train(training)
        on_membrane = neuron.on_membrane
        before = made(BatchNormThroughTime2d).train(training) if currents_too else None
        state = State()
        if slow:
            spikes, state.membrane = loop(x, neuron, on_membrane, before)
            spikes = F.avg_pool2d(spikes.flatten(0, 1), 2).unflatten(0, (T, N)) if pool else spikes
        else:
            rows = None if before is None else before.standardization(x, slice(0, T))
            spikes = neuron(x, rows, num_steps=T, pool=pool, state=state)
        weights = torch.linspace(-1, 2, spikes.numel(), dtype=spikes.dtype).view(spikes.shape)
        loss = (spikes * weights).sum() + state.membrane.square().sum()
        inputs = [x, *neuron.parameters(), *([] if before is None else before.parameters())]
        results.append(
            [spikes, state.membrane, *torch.autograd.grad(loss, inputs), *neuron.buffers()]
        )
    assert 0.1 < results[0][0].mean() < 0.9
    torch.testing.assert_close(results[0][0], results[1][0].detach(), rtol=0, atol=1e-15)
    torch.testing.assert_close(results[0], results[1], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("norm", NORMS)
def test_without_gradients_it_fires_the_same(norm: type[nn.Module]) -> None:
    neuron = LIF(0.8, 0.4, on_membrane=made(norm))
    copied = copy.deepcopy(neuron)
    with torch.no_grad():
        spikes = copied(currents())
    assert torch.equal(spikes, neuron(currents()))


def test_it_takes_whole_sequences_and_is_not_compiled() -> None:
    neuron, state = LIF(on_membrane=made(BatchNormThroughTime2d)), State()
    neuron(currents(), state=state)
    with pytest.raises(ValueError, match="a membrane to go on from"):
        neuron(currents(), state=state)
    assert choose_engine(neuron, True, torch.device("cpu")) == "eager"
    assert choose_engine(neuron, "auto", torch.device("cuda")) == "eager"
    neuron.compiled = True
    with pytest.raises(ValueError, match="not compiled, got engine='compiled'"):
        neuron(currents())
