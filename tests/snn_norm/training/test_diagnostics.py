"""Diagnostics, against the slow way: each step in plain PyTorch, each number by its definition."""

from __future__ import annotations

import copy
import math
import random
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.networks import spiking
from snn_norm.networks.cnn import ANNCNN
from snn_norm.networks.spiking import SNNCNN
from snn_norm.neurons import kernels
from snn_norm.neurons.layers import LIF, State
from snn_norm.norms.table import norms_of
from snn_norm.training.diagnostics import DIAGNOSTICS, diagnose, layers_of

T, N = 5, 6
LAYERS = [*(f"conv{number}" for number in range(1, 7)), "hidden"]
# Functions whose derivatives are the surrogate gradients.
INTEGRALS = {
    "fast_sigmoid": lambda u, k: u / (1 + k * u.abs()),
    "atan": lambda u, k: torch.atan(math.pi / 2 * k * u) / math.pi,
    "triangle": lambda u, k: torch.where(
        u.abs() < 1 / k, k * u - torch.sign(u) * (k * u) ** 2 / 2, 0 * u
    ),
    "rectangle": lambda u, k: torch.where(u.abs() < 1 / (2 * k), k * u, 0 * u),
    "sigmoid": lambda u, k: torch.sigmoid(k * u),
}


def images(channels: int = 2, size: int = 8) -> Tensor:
    return torch.rand(N, channels, size, size, generator=torch.Generator().manual_seed(1)) * 3 - 1


LABELS = torch.arange(N) % 3


def loss(model: nn.Module) -> Tensor:
    return F.cross_entropy(model(images()), LABELS)


class Slow:
    """What the layers of a network see, step by step; currents and membranes by layer."""

    def __init__(self, model: SNNCNN) -> None:
        self.currents: dict[str, list[Tensor]] = {}
        self.membranes: dict[str, list[Tensor]] = {}
        trained = copy.deepcopy(model).double().train()
        x = [images().double()] * T
        for layer in trained.trunk.layers:
            x = self._layer(trained, layer.name, x)
            if layer.pool:
                x = [F.avg_pool2d(step, 2) for step in x]
        assert trained.hidden is not None
        x = self._fire(
            "hidden", trained.neurons["hidden"], [trained.hidden(s.flatten(1)) for s in x]
        )
        logits = trained.readout(torch.stack([trained.classifier(step) for step in x]))
        F.cross_entropy(logits, LABELS).backward()

    def _layer(self, model: SNNCNN, name: str, x: list[Tensor]) -> list[Tensor]:
        convolution, norm = model.convolutions[name], model.norms[name]
        assert isinstance(convolution, nn.Conv2d)
        weight = convolution.weight
        if getattr(norm, "place", "") == "weights":
            weight = norm.standardize(weight)
        y = torch.stack([F.conv2d(step, weight, convolution.bias, padding=1) for step in x])
        if not isinstance(norm, nn.Identity) and getattr(norm, "place", "currents") == "currents":
            y = norm(y)
        return self._fire(name, model.neurons[name], list(y))

    def _fire(self, name: str, neuron: Any, currents: list[Tensor]) -> list[Tensor]:
        for step in currents:
            step.retain_grad()
        v, fired, spikes, tested = torch.zeros_like(currents[0]), 0 * currents[0], [], []
        for t, x in enumerate(currents):
            fired = fired.detach()
            kept = v * (1 - fired) if neuron.reset == "zero" else v
            v = neuron.decay() * kept + x
            if neuron.reset == "subtract":
                v = v - neuron.threshold * fired
            u = v if neuron.on_membrane is None else neuron.on_membrane(v, t)
            tested.append(u.detach())
            above = u - neuron.threshold
            smooth = INTEGRALS[neuron.surrogate](above, neuron.slope)
            fired = (v > neuron.threshold).double()
            spikes.append((above > 0).double() + smooth - smooth.detach())
            fired = (above > 0).double()
        self.currents[name], self.membranes[name] = currents, tested
        return spikes

    def numbers(self, name: str, neuron: LIF) -> dict[str, float]:
        u = torch.stack(self.membranes[name])
        x = torch.stack(self.currents[name]).detach()
        above = (u - neuron.threshold).flatten().requires_grad_()
        zero = torch.zeros(1, dtype=u.dtype, requires_grad=True)
        slopes = [
            torch.autograd.grad(INTEGRALS[neuron.surrogate](at, neuron.slope).sum(), at)[0]
            for at in (above, zero)
        ]
        spikes = (u > neuron.threshold).double()
        per_unit = spikes.flatten(2).sum((0, 1))
        channels = (
            x.movedim(2, 0).flatten(3).numpy()
            if x.dim() > 3
            else x.movedim(2, 0)[..., None].numpy()
        )
        between = np.mean([np.var([step.mean() for step in channel]) for channel in channels])
        total = np.mean([channel.var() for channel in channels])
        gradients = [
            step.grad.square().sum() for step in self.currents[name] if step.grad is not None
        ]
        return {
            "rate": float(spikes.mean()),
            "support": float(slopes[0].mean() / slopes[1]),
            "silent": float((per_unit == 0).double().mean()),
            "saturated": float((per_unit == T * N).double().mean()),
            "margin": float((neuron.threshold - u.mean()) / u.std(correction=0)),
            "gradient": math.sqrt(sum(gradients)),
            "shift": float(between / total) if total else math.nan,
        }


def network(norm: str, **keys: Any) -> SNNCNN:
    torch.manual_seed(3)
    keys = {"threshold": 0.3, "width": 3, "slope": None, **keys}
    return SNNCNN(norm, num_steps=T, in_channels=2, num_classes=3, image_size=8, **keys)


def assert_as_the_slow_way(model: SNNCNN) -> None:
    found = diagnose(
        model.double(), lambda twin: F.cross_entropy(twin(images().double()), LABELS), seed=0
    )
    slow = Slow(model)
    assert list(found) == [f"{name}.{layer}" for layer in LAYERS for name in DIAGNOSTICS]
    for layer in LAYERS:
        neuron = model.neurons[layer]
        assert isinstance(neuron, LIF)
        for name, expected in slow.numbers(layer, neuron).items():
            expected = expected if math.isfinite(expected) else math.nan
            got = found[f"{name}.{layer}"]
            assert got == pytest.approx(expected, rel=1e-4, abs=1e-7, nan_ok=True), (name, layer)


@pytest.mark.parametrize("norm", norms_of("snn"))
def test_numbers_are_those_of_their_definitions(norm: str) -> None:
    assert_as_the_slow_way(network(norm))


@pytest.mark.parametrize("surrogate", INTEGRALS)
def test_of_every_surrogate(surrogate: str) -> None:
    assert_as_the_slow_way(network("bntt", surrogate=surrogate))


@pytest.mark.parametrize("norm", ["bntt", "mpbn"])
@pytest.mark.parametrize("reset", ["subtract", "zero"])
@pytest.mark.parametrize("neuron", ["lif", "plif", "if"])
def test_of_every_neuron_and_reset(neuron: str, reset: str, norm: str) -> None:
    assert_as_the_slow_way(network(norm, neuron=neuron, reset=reset))


@pytest.mark.parametrize("norm", ["none", "tebn", "groupnorm"])
def test_in_stretches_they_are_those_of_the_whole(
    norm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = diagnose(network(norm), loss, seed=0)
    monkeypatch.setattr(spiking, "_VALUES_AT_ONCE", 2 * N * 3 * 64)
    assert diagnose(network(norm), loss, seed=0) == pytest.approx(
        whole, rel=1e-4, abs=1e-9, nan_ok=True
    )


def test_a_shift_is_the_variance_between_steps() -> None:
    """Currents of 1, 2 and 3 at their steps, with one channel that is ±1 around them."""

    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.neuron = LIF()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, x_TNC: Tensor) -> Tensor:
            return self.neuron(self.weight * x_TNC).mean()

    steps_T11 = torch.tensor([1.0, 2.0, 3.0]).view(3, 1, 1)
    x_TNC = torch.cat([steps_T11.expand(3, 2, 1), steps_T11 + torch.tensor([[1.0], [-1.0]])], 2)
    found = diagnose(Two(), lambda twin: twin(x_TNC), seed=0)
    assert found["shift.neuron"] == pytest.approx((2 / 3 + 2 / 3) / (2 / 3 + 2 / 3 + 1))


class TestRectified:
    def test_numbers_are_those_of_their_definitions(self) -> None:
        torch.manual_seed(0)
        model = ANNCNN("batchnorm", width=3, in_channels=2, num_classes=3, image_size=8)
        found = diagnose(model, loss, seed=0)
        twin, seen = copy.deepcopy(model).train(), {}
        for name in LAYERS:

            def keep(_: nn.Module, args: Any, name: str = name) -> None:
                args[0].retain_grad()
                seen[name] = args[0]

            twin.neurons[name].register_forward_pre_hook(keep)
        loss(twin).backward()
        for name, x_N in seen.items():
            gradient, x_N = x_N.grad, x_N.detach()
            above = (x_N > 0).double()
            each = above.mean(0)
            expected = {
                "rate": above.mean(), "support": above.mean(),
                "silent": (each == 0).double().mean(),
                "saturated": (each == 1).double().mean(),
                "margin": -x_N.mean() / x_N.std(correction=0), "gradient": gradient.norm(),
            }  # fmt: skip
            for diagnostic, value in expected.items():
                assert found.pop(f"{diagnostic}.{name}") == pytest.approx(
                    float(value), rel=1e-4, abs=1e-6
                )
        assert found == {}


@pytest.mark.parametrize(
    "keys",
    [
        {"trunk": "vgg9"},
        {"trunk": "resnet19"},
        {"trunk": "resnet", "depth": 8, "shortcut": "membrane"},
        {"trunk": "resnet", "depth": 8, "shortcut": "spike"},
    ],
)
def test_layers_of_deep_networks(keys: dict[str, Any]) -> None:
    model = network("bntt", **keys | {"width": 2})
    found = diagnose(model, loss, seed=0)
    assert layers_of(model) == [name for name, _ in model.neurons.named_children()]
    assert list(found) == [f"{name}.{layer}" for layer in layers_of(model) for name in DIAGNOSTICS]


def test_a_gradient_comes_by_the_shortcut_too() -> None:
    """Currents that a later layer adds to its own have the gradient of both ways."""
    model = network("none", trunk="resnet", depth=8, shortcut="membrane")
    seen: list[Tensor] = []

    def sequence_loss(twin: nn.Module) -> Tensor:
        def keep(_module: nn.Module, _args: Any, currents: Tensor) -> None:
            currents.retain_grad()
            seen.append(currents)

        assert isinstance(twin, SNNCNN)
        twin.convolutions["conv1"].register_forward_hook(keep)
        x_NTCHW = images().unsqueeze(1).expand(-1, T, -1, -1, -1)
        return F.cross_entropy(twin(x_NTCHW), LABELS)

    found = diagnose(model, sequence_loss, seed=0)
    (currents,) = seen
    assert currents.grad is not None
    assert found["gradient.conv1"] == pytest.approx(currents.grad.norm().item(), rel=1e-5)


class Shared(nn.Module):
    """A user's network whose rectified linear units are called with several shapes."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU(inplace=True)
        self.first, self.second = nn.Linear(128, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.relu(self.second(self.relu(self.first(x.flatten(1)))))


def test_units_of_several_shapes_are_one_layer() -> None:
    torch.manual_seed(0)
    model = Shared()
    found = diagnose(model, loss, seed=0)
    with torch.no_grad():
        first = model.first(images().flatten(1))
        second = model.second(first.relu())
    fired = torch.cat([(first > 0).double().flatten(), (second > 0).double().flatten()])
    assert found["rate.relu"] == pytest.approx(float(fired.mean()))


def test_none_of_a_network_without_such_layers() -> None:
    assert diagnose(nn.Sequential(nn.Flatten(), nn.Linear(128, 3)), loss, seed=0) == {}


def test_nothing_is_compiled_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise AssertionError

    monkeypatch.setattr(kernels, "spikes", refuse)
    model = network("bntt")
    eager = diagnose(model, loss, seed=0)
    for neuron in model.neurons.values():
        neuron.compiled = True  # type: ignore[assignment]
    assert diagnose(model, loss, seed=0) == pytest.approx(eager, rel=0, abs=0, nan_ok=True)
    assert all(neuron.compiled for neuron in model.neurons.values())


class Drawing(nn.Module):
    """A user's norm that draws from every global generator, and one of its own."""

    def __init__(self, num_features: int, num_steps: int | None = None) -> None:
        super().__init__()
        del num_steps
        self.weight = nn.Parameter(torch.ones(num_features))
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        noise = torch.randn(()) + np.random.randn() + random.gauss(0, 1)
        return x * (1 + 0.1 * noise) * self.weight[:, None, None]


@pytest.mark.parametrize("norm", ["none", "bntt", "homeostatic", "mpbn", f"{__name__}:Drawing"])
def test_the_network_and_all_generators_stay_as_they_are(norm: str) -> None:
    model = network(norm).eval()
    model.neurons["conv1"](torch.ones(T, N, 3, 8, 8), state=State())
    loss(model).backward()
    before = copy.deepcopy(model.__dict__), copy.deepcopy(model.state_dict())
    gradients = [None if p.grad is None else p.grad.clone() for p in model.parameters()]
    generators = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    first = diagnose(model, loss, seed=0)
    torch.testing.assert_close(model.state_dict(), before[1], rtol=0, atol=0)
    torch.testing.assert_close([p.grad for p in model.parameters()], gradients, rtol=0, atol=0)
    assert not model.training
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert torch.equal(torch.get_rng_state(), generators[0])
    assert (random.getstate(), np.random.get_state()[1].tolist()) == generators[1:]
    assert diagnose(model, loss, seed=0) == pytest.approx(first, rel=0, abs=0, nan_ok=True)
