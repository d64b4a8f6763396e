"""The fused operation's own promises: constants, pools, stretches, bytes and bfloat16."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm import SNNCNN, BatchNormThroughTime2d, TemporalHomeostaticNorm2d
from snn_norm.networks import spiking
from snn_norm.networks.saved_spikes import PackedSpikes, recomputed
from snn_norm.neurons.engine import set_engine
from snn_norm.neurons.fused import Engine, fire
from snn_norm.neurons.recurrence import Neuron

NEURON = Neuron(beta=0.8, threshold=0.6, slope=5.0)
NORMS = [None, BatchNormThroughTime2d, TemporalHomeostaticNorm2d]
T, C = 6, 3


def sequence(steps: int = T, size: int = 5, dtype: torch.dtype = torch.float64) -> Tensor:
    """Channels last, as the network has it."""
    generator = torch.Generator().manual_seed(steps)
    x_TNHWC = torch.randn(steps, 2, size, size, C, dtype=torch.float64, generator=generator)
    return x_TNHWC.permute(0, 1, 4, 2, 3).add(0.3).to(dtype).requires_grad_()


def make(norm: type | None) -> torch.nn.Module | None:
    if norm is None:
        return None
    layer = norm(C, T, dtype=torch.float64)
    torch.manual_seed(0)
    for parameter in layer.parameters():
        torch.nn.init.uniform_(parameter, 0.5, 1.5)
    layer(sequence() * 2 + 1)  # moving statistics away from this batch's
    return layer


def fired(
    x_TNCHW: Tensor, norm: type | None, steps: slice = slice(0, T), pool: bool = False
) -> tuple[Tensor, list[Tensor]]:
    """Spikes, and the gradients of a fixed weighting of them."""
    layer = make(norm)
    standardization = None if layer is None else layer.standardization(x_TNCHW, steps)
    num_steps = steps.stop - steps.start
    spikes, _ = fire(x_TNCHW, NEURON, standardization, num_steps=num_steps, pool=pool)
    parameters = [] if layer is None else list(layer.parameters())
    return spikes, gradients(spikes, [x_TNCHW, *parameters])


def gradients(spikes: Tensor, inputs: list[Tensor]) -> list[Tensor]:
    weights = torch.linspace(-1, 2, spikes.numel(), dtype=spikes.dtype).view(spikes.shape)
    return list(torch.autograd.grad((spikes * weights).sum(), inputs))


@pytest.mark.parametrize("norm", NORMS)
def test_norm_and_neuron_in_one_are_norm_then_neuron(norm: type | None) -> None:
    x = sequence()
    spikes, grads = fired(x, norm)
    layer = make(norm)
    y = x if layer is None else layer(x)
    expected, _ = fire(y, NEURON)
    parameters = [] if layer is None else list(layer.parameters())
    assert 0.1 < spikes.mean() < 0.9
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(grads, gradients(expected, [x, *parameters]))


@pytest.mark.parametrize("norm", NORMS)
def test_a_constant_current_is_its_sequence(norm: type | None) -> None:
    x = sequence(1)
    spikes, (grad_x, *grads) = fired(x, norm)
    repeated = x.detach().repeat(T, 1, 1, 1, 1).requires_grad_()
    expected, (expected_x, *expected_grads) = fired(repeated, norm)
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(grad_x, expected_x.sum(0, keepdim=True))
    torch.testing.assert_close(grads, expected_grads)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("size", [4, 5])
def test_pooled_spikes_are_pooled(norm: type | None, size: int) -> None:
    x = sequence(size=size)
    pooled, grads = fired(x, norm, pool=True)
    layer = make(norm)
    standardization = None if layer is None else layer.standardization(x, slice(0, T))
    spikes, _ = fire(x, NEURON, standardization)
    expected = F.avg_pool2d(spikes.flatten(0, 1), 2).unflatten(0, (T, 2))
    assert torch.equal(pooled, expected)
    parameters = [] if layer is None else list(layer.parameters())
    torch.testing.assert_close(grads, gradients(expected, [x, *parameters]))


@pytest.mark.parametrize("norm", NORMS)
def test_stretches_joined_are_the_whole(norm: type | None) -> None:
    x = sequence()
    whole, grads = fired(x, norm)
    layer, membrane, parts = make(norm), None, []
    for steps in (slice(0, 1), slice(1, 4), slice(4, 6)):
        standardization = None if layer is None else layer.standardization(x[steps], steps)
        spikes, membrane = fire(x[steps], NEURON, standardization, membrane_N=membrane)
        parts.append(spikes)
    joined = torch.cat(parts)
    assert torch.equal(joined, whole)
    parameters = [] if layer is None else list(layer.parameters())
    torch.testing.assert_close(gradients(joined, [x, *parameters]), grads)


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize("norm", ["none", "bntt", "homeostatic"])
def test_early_steps_are_recomputed_to_the_same_numbers(
    norm: str, precision: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spiking, "_VALUES_AT_ONCE", 2 * 2 * 3 * 8 * 8)  # two steps a stretch
    torch.manual_seed(0)
    model = SNNCNN(norm, num_steps=6, slope=2.0, image_size=8, width=3)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    x = torch.randn(2, 3, 8, 8)
    results, calls = [], []
    convolution = model.convolutions["conv2"]
    forward = convolution.forward
    monkeypatch.setattr(convolution, "forward", lambda x: (calls.append(len(x)), forward(x))[1])
    for steps_kept, times in ((25, 3), (2, 5), (0, 6)):
        monkeypatch.setattr(spiking, "_STEPS_KEPT", steps_kept)
        model.load_state_dict(start)
        calls.clear()
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
            logits = model(x)
        grads = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        assert len(calls) == times
        results.append([tensor.clone() for tensor in (logits, *grads, *model.buffers())])
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=0, atol=0)


@pytest.mark.parametrize("engine", ["eager", "numba"])
def test_layers_that_are_frozen_keep_nothing_and_the_others_learn(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = SNNCNN("bntt", num_steps=6, slope=2.0, image_size=8, width=3)
    set_engine(model, engine)
    frozen = [model.convolutions["conv1"], model.norms["conv1"], model.convolutions["conv2"]]
    for module in frozen:
        module.requires_grad_(requires_grad=False)
    learning = [parameter for parameter in model.parameters() if parameter.requires_grad]
    x, results = torch.randn(2, 3, 8, 8), []
    monkeypatch.setattr(spiking, "_VALUES_AT_ONCE", 2 * 2 * 3 * 8 * 8)  # two steps a stretch
    for steps_kept in (25, 0):
        monkeypatch.setattr(spiking, "_STEPS_KEPT", steps_kept)
        results.append(torch.autograd.grad(model(x).square().sum(), learning))
    torch.testing.assert_close(results[1], results[0], rtol=0, atol=0)


@pytest.mark.parametrize("norm", ["none", "bntt", "homeostatic"])
def test_network_in_stretches_is_the_network_at_once(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.manual_seed(0)
    model = SNNCNN(norm, num_steps=5, slope=2.0, image_size=8, width=3).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    start = {key: value.clone() for key, value in model.state_dict().items()}
    results = []
    monkeypatch.setattr(spiking, "_STEPS_KEPT", 2)
    for values in (10**9, 2 * 2 * 3 * 8 * 8, 1):  # one stretch, three, five
        monkeypatch.setattr(spiking, "_VALUES_AT_ONCE", values)
        model.load_state_dict(start)
        logits = model(x)
        grads = torch.autograd.grad(logits.square().sum(), list(model.parameters()))
        results.append((logits, *grads, *model.buffers()))
        results[-1] = [tensor.clone() for tensor in results[-1]]
    for result in results[1:]:
        torch.testing.assert_close(result, results[0], rtol=1e-9, atol=1e-12)


def test_without_batch_statistics_they_are_constants() -> None:
    x = sequence()
    layer = make(TemporalHomeostaticNorm2d)
    layer.eval()
    spikes, _ = fire(x, NEURON, layer.standardization(x, slice(0, T)))
    expected, _ = fire(layer(x), NEURON)
    parameters = list(layer.parameters())
    assert torch.equal(spikes, expected)
    torch.testing.assert_close(
        gradients(spikes, [x, *parameters]), gradients(expected, [x, *parameters])
    )


@pytest.mark.parametrize("levels", [1, 4])
def test_spikes_are_kept_as_bytes(levels: int) -> None:
    x = (sequence(1, size=8)[0] > 0).float()
    weight = torch.randn(4, C, 3, 3, requires_grad=True)
    if levels == 4:
        x = F.avg_pool2d(x, 2)
        assert set(x.unique().tolist()) >= {0.25, 0.5, 0.75}
    x.requires_grad_()
    spikes = PackedSpikes(x, levels)
    with spikes.as_bytes():
        y = F.conv2d(x, weight)
    assert y.grad_fn._raw_saved_input.data[1].dtype == torch.int8
    assert y.grad_fn._raw_saved_weight.data[1] is weight
    assert torch.equal(spikes.again(), x)
    expected = F.conv2d(x, weight)
    torch.testing.assert_close(gradients(y, [x, weight]), gradients(expected, [x, weight]))


@pytest.mark.parametrize("enabled", [False, True])
def test_what_can_be_recomputed_is_not_kept(enabled: bool) -> None:
    x, weight = torch.randn(3, 4), torch.randn(4, 4, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        y = x @ weight
        with recomputed(y, lambda: x @ weight):
            z = y.exp2()
            z = z * y
    assert z.grad_fn._raw_saved_other.data[1].numel() == 0
    (grad,) = gradients(z, [weight])
    with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
        y = x @ weight
        expected = y.exp2() * y
    assert torch.equal(grad, *gradients(expected, [weight]))


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("steps", [1, T])
def test_bfloat16_input_has_float32_membranes(norm: type | None, steps: int) -> None:
    """Spikes are those of the same numbers in float32, bit for bit; gradients within 2^-8."""
    x = sequence(steps, dtype=torch.bfloat16).detach().requires_grad_()
    twin = x.detach().float().requires_grad_()

    def run(x_TNCHW: Tensor) -> tuple[Tensor, list[Tensor]]:
        layer = None if norm is None else norm(C, T)
        standardization = None if layer is None else layer.standardization(x_TNCHW, slice(0, T))
        spikes, membrane = fire(x_TNCHW, NEURON, standardization, num_steps=T)
        assert membrane.dtype == torch.float32
        parameters = [] if layer is None else list(layer.parameters())
        return spikes, gradients(spikes.float(), [x_TNCHW, *parameters])

    spikes, (grad_x, *grads) = run(x)
    expected, (expected_x, *expected_grads) = run(twin)
    assert spikes.dtype == grad_x.dtype == torch.bfloat16
    assert torch.equal(spikes.float(), expected)
    torch.testing.assert_close(grads, expected_grads, rtol=2**-7, atol=2**-7)
    torch.testing.assert_close(grad_x.float(), expected_x, rtol=2**-7, atol=2**-7)


@pytest.mark.parametrize("norm", ["bntt", "homeostatic"])
def test_bfloat16_network_stays_near_float32(norm: str) -> None:
    torch.manual_seed(0)
    model = SNNCNN(norm, num_steps=8, image_size=16, width=8)
    x, labels = torch.randn(16, 3, 16, 16), torch.arange(16) % 10
    gradient, logits = [], []
    for enabled in (False, True):
        model.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits.append(model(x))
        assert logits[-1].dtype == torch.float32
        F.cross_entropy(logits[-1], labels).backward()
        gradient.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    # A membrane near its threshold may fall on the other side, so single logits may jump.
    error = (logits[1] - logits[0]).square().mean().sqrt() / logits[0].std()
    assert error < 0.5
    assert F.cosine_similarity(*gradient, dim=0) > 0.8
