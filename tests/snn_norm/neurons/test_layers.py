"""LIF and the readout against plain loops and against snnTorch."""

from __future__ import annotations

import pytest
import snntorch
import torch
from torch import Tensor

from snn_norm import LIF
from snn_norm.neurons.layers import LeakyReadout

BETA, THRESHOLD, SLOPE = 0.85, 0.7, 13.0
SHAPES = [(1, 1, 1), (1, 3, 5), (2, 7), (25, 1, 3, 5, 7), (10, 2, 3, 4, 4)]


def currents(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Strong enough that some neurons fire at every step, some now and then, some never."""
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=dtype, generator=generator) * 0.6 + 0.2


def loop(x_TN: Tensor, beta: float = BETA, threshold: float = THRESHOLD, slope: float = SLOPE):
    """The definition, one step after the other; autograd sees the fast sigmoid in a spike."""
    membrane, spikes_TN = torch.zeros_like(x_TN[0]), []
    for x in x_TN:
        reset = (membrane > threshold).to(x.dtype)
        membrane = beta * membrane + x - threshold * reset
        above = membrane - threshold
        sigmoid = above / (1 + slope * above.abs())
        spikes_TN.append((above > 0).to(x.dtype) + sigmoid - sigmoid.detach())
    return torch.stack(spikes_TN)


def gradient(spikes_TN: Tensor, x_TN: Tensor) -> Tensor:
    """Of a fixed random weighting of the spikes."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(spikes_TN.shape, dtype=spikes_TN.dtype, generator=generator)
    (grad,) = torch.autograd.grad((spikes_TN * weights).sum(), x_TN)
    return grad


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lif_gives_spikes_and_gradient_of_the_plain_loop(shape: tuple[int, ...]) -> None:
    x_TN = currents(*shape).requires_grad_()
    spikes, expected = LIF(BETA, THRESHOLD, SLOPE)(x_TN), loop(x_TN)
    assert torch.equal(spikes, expected.detach().round())
    torch.testing.assert_close(gradient(spikes, x_TN), gradient(expected, x_TN))


def test_neurons_of_the_test_fire_and_rest() -> None:
    rate = LIF(BETA, THRESHOLD, SLOPE)(currents(25, 1, 3, 5, 7)).mean()
    assert 0.1 < rate < 0.9


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_lif_is_snntorchs_leaky(shape: tuple[int, ...]) -> None:
    x_TN = currents(*shape).requires_grad_()
    leaky = snntorch.Leaky(
        torch.tensor(BETA, dtype=torch.float64),
        torch.tensor(THRESHOLD, dtype=torch.float64),
        snntorch.surrogate.fast_sigmoid(SLOPE),
        reset_mechanism="subtract",
    )
    membrane, outputs = torch.zeros_like(x_TN[0]), []
    for x in x_TN:
        spikes, membrane = leaky(x, membrane)
        outputs.append(spikes.double())
    expected = torch.stack(outputs)
    spikes_TN = LIF(BETA, THRESHOLD, SLOPE)(x_TN)
    assert torch.equal(spikes_TN, expected)
    # snnTorch's surrogate works on float32 spikes, so its gradient is rounded to float32.
    torch.testing.assert_close(
        gradient(spikes_TN, x_TN), gradient(expected, x_TN), rtol=1e-5, atol=1e-6
    )


def test_defaults_are_snntorchs_usual_ones() -> None:
    x_TN = currents(10, 4, 6).requires_grad_()
    spikes, expected = LIF()(x_TN), loop(x_TN, 0.9, 1.0, 25.0)
    assert torch.equal(spikes, expected.detach().round())
    torch.testing.assert_close(gradient(spikes, x_TN), gradient(expected, x_TN))


def test_a_membrane_at_the_threshold_does_not_fire() -> None:
    x_TN = torch.tensor([[1.0], [0.5]])
    # v_0 = θ exactly: no spike, so no reset at the next step, and v_1 = 0.5·θ + 0.5 = θ again.
    assert LIF(beta=0.5)(x_TN).tolist() == [[0.0], [0.0]]


def test_output_keeps_dtype_and_memory_order_of_a_step() -> None:
    x_TNHWC = currents(2, 3, 5, 6, 4, dtype=torch.float32)
    spikes_TNCHW = LIF()(x_TNHWC.permute(0, 1, 4, 2, 3))
    assert spikes_TNCHW.dtype == torch.float32
    assert spikes_TNCHW.permute(0, 1, 3, 4, 2).is_contiguous()


def test_lif_reads_its_input_without_changing_it() -> None:
    x_TN = currents(5, 4).requires_grad_()
    before = x_TN.detach().clone()
    gradient(LIF()(x_TN), x_TN)
    assert torch.equal(x_TN.detach(), before)


def test_lif_shows_its_arguments() -> None:
    assert repr(LIF(0.8, 0.5, 10.0)) == (
        "LIF(beta=0.8, threshold=0.5, slope=10.0, surrogate=fast_sigmoid, reset=subtract)"
    )


@pytest.mark.parametrize("beta", [0.0, 0.9, 1.0])
@pytest.mark.parametrize("shape", [(1, 3), (7, 2, 5)], ids=str)
def test_readout_is_the_mean_of_a_leaky_membrane(shape: tuple[int, ...], beta: float) -> None:
    x_TN = currents(*shape).requires_grad_()
    membrane, membranes = torch.zeros_like(x_TN[0]), []
    for x in x_TN:
        membrane = beta * membrane + x
        membranes.append(membrane)
    expected = torch.stack(membranes).mean(0)
    mean_N = LeakyReadout(beta)(x_TN)
    torch.testing.assert_close(mean_N, expected)
    torch.testing.assert_close(gradient(mean_N, x_TN), gradient(expected, x_TN))


def test_readout_is_snntorchs_leaky_without_reset() -> None:
    x_TN = currents(6, 4, dtype=torch.float32)
    leaky = snntorch.Leaky(beta=0.9, reset_mechanism="none")
    membrane, membranes = torch.zeros_like(x_TN[0]), []
    for x in x_TN:
        _, membrane = leaky(x, membrane)
        membranes.append(membrane)
    torch.testing.assert_close(LeakyReadout(0.9)(x_TN), torch.stack(membranes).mean(0))
