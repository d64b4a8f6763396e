"""Neurons, resets and surrogates against slow loops, snnTorch and SpikingJelly."""

from __future__ import annotations

import itertools

import pytest
import snntorch
import torch
from spikingjelly.activation_based import neuron as spikingjelly
from spikingjelly.activation_based import surrogate as spikingjelly_surrogate
from torch import Tensor

from snn_norm import LIF, neurons
from snn_norm.neurons.layers import IF, PLIF, State, make_neuron
from snn_norm.neurons.table import NEURONS, RESETS, SURROGATES
from tests.snn_norm.neurons.test_surrogates import PRIMITIVES

BETA, THRESHOLD, SLOPE = 0.85, 0.7, 1.3
SHAPE = (8, 2, 3, 4, 4)


def currents(*shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(shape, dtype=dtype, generator=generator) * 0.6 + 0.2


def made(name: str, reset: str = "zero", surrogate: str = "atan") -> LIF:
    keys = {"threshold": THRESHOLD, "slope": SLOPE, "surrogate": surrogate, "reset": reset}
    return make_neuron(name, beta=BETA, **keys).double()


def loop(x_TN: Tensor, neuron: LIF, decay: float | Tensor) -> Tensor:
    """The definition, one step after the other; autograd sees the primitive in a spike."""
    membrane, fired, spikes_TN = torch.zeros_like(x_TN[0]), torch.zeros_like(x_TN[0]), []
    for x in x_TN:
        if neuron.reset == "zero":
            membrane = membrane * (1 - fired)
        membrane = decay * membrane + x
        if neuron.reset == "subtract":
            membrane = membrane - neuron.threshold * fired
        above = membrane - neuron.threshold
        fired = (above > 0).to(x.dtype)
        smooth = PRIMITIVES[neuron.surrogate](above, neuron.slope)
        spikes_TN.append(fired + smooth - smooth.detach())
    return torch.stack(spikes_TN)


def gradients(spikes_TN: Tensor, inputs: list[Tensor]) -> tuple[Tensor, ...]:
    """Of a fixed random weighting of the spikes."""
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(spikes_TN.shape, dtype=spikes_TN.dtype, generator=generator)
    return torch.autograd.grad((spikes_TN * weights).sum(), inputs)


@pytest.mark.parametrize(
    ("name", "reset", "surrogate"),
    [
        *itertools.product(NEURONS, RESETS, ["atan"]),
        *itertools.product(["lif"], ["subtract"], SURROGATES),
    ],
)
def test_neurons_are_the_plain_loop(name: str, reset: str, surrogate: str) -> None:
    x = currents(*SHAPE).requires_grad_()
    neuron = made(name, reset, surrogate)
    decays = {"lif": lambda: BETA, "if": lambda: 1.0, "plif": lambda: torch.sigmoid(neuron.w)}
    spikes, expected = neuron(x), loop(x, neuron, decays[name]())
    inputs = [x, *neuron.parameters()]
    assert len(inputs) == 1 + (name == "plif")
    assert 0.1 < spikes.mean() < 0.9
    assert torch.equal(spikes, expected.detach().round())
    torch.testing.assert_close(gradients(spikes, inputs), gradients(expected, inputs))


@pytest.mark.parametrize("reset", RESETS)
def test_stretches_joined_are_the_whole(reset: str) -> None:
    x = currents(*SHAPE).requires_grad_()
    neuron = made("plif", reset)
    state = State()
    joined = torch.cat([neuron(x[part], state=state) for part in (slice(0, 3), slice(3, 8))])
    whole = neuron(x)
    inputs = [x, *neuron.parameters()]
    assert torch.equal(joined, whole)
    torch.testing.assert_close(gradients(joined, inputs), gradients(whole, inputs))


def test_a_learned_decays_gradient_is_that_of_finite_differences() -> None:
    """Where no membrane is near the threshold: there the last one depends smoothly on it."""
    x, neuron, step = currents(*SHAPE), made("plif"), 1e-6

    def last(shift: float = 0.0) -> Tensor:
        state = State()
        with torch.no_grad():
            neuron.w += shift
        spikes = neuron(x, state=state)
        with torch.no_grad():
            neuron.w -= shift
        assert state.membrane is not None
        return state.membrane.square().sum() + 0 * spikes.sum()

    (grad,) = torch.autograd.grad(last(), neuron.w)
    differences = (last(step) - last(-step)) / (2 * step)
    assert grad.abs() > 1
    torch.testing.assert_close(grad, differences.detach(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("reset", RESETS)
def test_resets_are_snntorchs(reset: str) -> None:
    x = currents(*SHAPE).requires_grad_()
    leaky = snntorch.Leaky(
        torch.tensor(BETA, dtype=torch.float64),
        torch.tensor(THRESHOLD, dtype=torch.float64),
        snntorch.surrogate.atan(SLOPE),
        reset_mechanism=reset,
    )
    membrane, outputs = torch.zeros_like(x[0]), []
    for step in x:
        spikes, membrane = leaky(step, membrane)
        outputs.append(spikes.double())
    expected = torch.stack(outputs)
    spikes = made("lif", reset)(x)
    assert torch.equal(spikes, expected)
    # snnTorch's surrogate works on float32 spikes, so its gradient is rounded to float32.
    torch.testing.assert_close(
        gradients(spikes, [x]), gradients(expected, [x]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("name", ["lif", "plif", "if"])
def test_reset_to_zero_is_spikingjellys(name: str) -> None:
    x = currents(*SHAPE).requires_grad_()
    keys = {
        "v_threshold": THRESHOLD, "v_reset": 0.0, "detach_reset": True, "step_mode": "m",
        "surrogate_function": spikingjelly_surrogate.ATan(SLOPE),
    }  # fmt: skip
    if name == "if":
        peer = spikingjelly.IFNode(**keys)
    elif name == "lif":
        peer = spikingjelly.LIFNode(tau=1 / (1 - BETA), decay_input=False, **keys)
    else:
        peer = spikingjelly.ParametricLIFNode(init_tau=1 / (1 - BETA), decay_input=False, **keys)
    neuron = made(name)
    spikes, expected = neuron(x), peer.double()(x)
    assert torch.equal(spikes, expected)
    grads = gradients(spikes, [x, *neuron.parameters()])
    expected_grads = gradients(expected, [x, *peer.parameters()])
    torch.testing.assert_close(grads[0], expected_grads[0], rtol=1e-6, atol=1e-8)
    # SpikingJelly's decay is 1 - σ(w).
    torch.testing.assert_close(grads[1:], tuple(-g for g in expected_grads[1:]), rtol=1e-6, atol=0)


def test_a_learned_decay_begins_where_it_is_told() -> None:
    neuron = PLIF(0.75)
    torch.testing.assert_close(neuron.decay(), torch.tensor(0.75))
    assert [*neuron.state_dict()] == ["w"]


def test_names_and_values_that_are_wrong_are_refused() -> None:
    for keys, message in (
        ({"surrogate": "tanh"}, "surrogate must be one of fast_sigmoid, atan, .*, got 'tanh'"),
        ({"reset": "hard"}, "reset must be one of subtract, zero, got 'hard'"),
        ({"slope": 0.0}, "slope must be greater than 0, got 0.0"),
    ):
        with pytest.raises(ValueError, match=message):
            LIF(**keys)
    with pytest.raises(ValueError, match="neuron must be one of lif, plif, if, got 'alif'"):
        make_neuron("alif")
    with pytest.raises(ValueError, match=r"beta of neuron plif must be between 0 and 1, got 1\.0"):
        make_neuron("plif", beta=1.0)
    assert isinstance(make_neuron("if", beta=0.5), IF)


def test_public_names() -> None:
    layers = {reference.split(":")[1] for reference in NEURONS.values()}
    assert set(neurons.__all__) == layers | {"LeakyReadout", "make_neuron"}
    assert all(getattr(neurons, name).__doc__ for name in neurons.__all__)
