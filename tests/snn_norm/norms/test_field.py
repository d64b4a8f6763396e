"""The field's norms against references written from the papers, and against SpikingJelly's."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from slow_norms import (
    Array,
    SlowBatchNorm,
    SlowHomeostaticNorm,
    SlowOnlineNorm,
    renormalized,
    slow_group_norm,
    slow_weight_standardization,
)
from spikingjelly.activation_based import layer as spikingjelly_layer
from spikingjelly.activation_based import neuron as spikingjelly_neuron
from torch import Tensor, nn

from snn_norm import norms
from snn_norm.norms.make import make_norm
from snn_norm.norms.per_sample import groups_of
from snn_norm.norms.protocol import OnWeights, Standardizes, evaluation_map
from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import load_reference

T, N, C, H, W = 3, 4, 2, 2, 3


def sequence(seed: int, steps: int = T) -> Tensor:
    """(T, N, C, H, W), with another mean and deviation at each step and in each batch."""
    generator = torch.Generator().manual_seed(seed)
    x_TNCHW = torch.randn(steps, N, C, H, W, generator=generator, dtype=torch.float64)
    level = torch.arange(steps, dtype=torch.float64)[:, None, None, None, None]
    return x_TNCHW * (1 + 0.3 * level) + level + 0.5 * seed


def make(name: str, **keys: Any) -> Any:
    """A spiking network's norm in double precision, its parameters no longer 1 and 0."""
    norm = load_reference(NORMS[name].layers["snn"])(C, T, dtype=torch.float64, **keys)
    with torch.no_grad():
        for parameter in norm.parameters():
            step = torch.linspace(-0.4, 0.3, parameter.numel(), dtype=torch.float64)
            parameter.add_(step.view(parameter.shape))
    return norm


def assert_same(actual: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, **{"rtol": 1e-9, "atol": 1e-11, **tolerance})


def array(tensor: Tensor) -> Array:
    values: Array = tensor.detach().numpy()
    return values


OF_BATCHES = {
    "batchnorm": ("all", True),
    "bntt": ("each", False),
    "tdbn": ("all", True),
    "tebn": ("all", True),
    "tab": ("up to", False),
    "mpbn": ("each", True),
}
"""Over which steps statistics are taken, and whether the running ones are shared by all."""

ON_CURRENTS = [n for n in norms_of("snn") if n != "none" and NORMS[n].place == "currents"]
OF_ACTIVATIONS = [*ON_CURRENTS, "mpbn"]
MOVING = [n for n in OF_ACTIVATIONS if n not in ("groupnorm", "layernorm")]
STEP_BY_STEP = ["bntt", "mpbn", "osr", "groupnorm", "layernorm", "homeostatic"]


def scale_and_offset(name: str, norm: Any) -> tuple[Array, Array]:
    """What stands before and after x̂ in the paper's formula, (T, C)."""
    scale = np.broadcast_to(array(norm.weight), (T, C)).copy()
    offset = (
        np.zeros((T, C)) if name == "bntt" else np.broadcast_to(array(norm.bias), (T, C)).copy()
    )
    p = array(norm.p) if name in ("tebn", "tab") else None
    for t in range(T):
        if name == "tdbn":
            scale[t] *= 0.5 / np.sqrt(2)
        elif name == "tebn":
            scale[t], offset[t] = scale[t] * p[t], offset[t] * p[t]
        elif name == "tab":
            scale[t], offset[t] = scale[t] * p[t] ** 2, offset[t] * p[t] ** 2
    return scale, offset


@pytest.mark.parametrize("name", OF_BATCHES)
@pytest.mark.parametrize("momentum", [0.1, 0.7])
def test_batch_norms_are_the_slow_ones(name: str, momentum: float) -> None:
    keys = {"threshold": 0.5, "branches": 2} if name == "tdbn" else {}
    norm = make(name, momentum=momentum, **keys)
    slow = SlowBatchNorm(T, C, norm.eps, *OF_BATCHES[name])
    scale, offset = scale_and_offset(name, norm)
    for seed in range(4):
        x = sequence(seed)
        expected = slow.train(x.numpy(), scale, offset, momentum)
        assert_same(norm(x).detach(), torch.from_numpy(expected))
        assert_same(array(norm.running_mean).reshape(slow.mean.shape), slow.mean)
        assert_same(array(norm.running_var).reshape(slow.var.shape), slow.var)
    x = sequence(9)
    expected = slow.evaluate(x.numpy(), scale, offset)
    assert_same(norm.eval()(x).detach(), torch.from_numpy(expected))


@pytest.mark.parametrize("name", [*OF_BATCHES, "groupnorm", "layernorm"])
def test_gradients_against_finite_differences(name: str) -> None:
    norm = make(name)
    names = [n for n, _ in norm.named_parameters()]

    def output(x: Tensor, *parameters: Tensor) -> Tensor:
        keys = dict(zip(names, parameters, strict=True))
        y: Tensor = torch.func.functional_call(norm, keys, (x,))
        return y

    parameters = [p.detach().clone().requires_grad_() for p in norm.parameters()]
    assert torch.autograd.gradcheck(output, (sequence(1).requires_grad_(), *parameters))


def gradients(norm: nn.Module, y: Tensor, x: Tensor, grad: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(y, [x, *norm.parameters()], grad))


def finite_differences(loss: Callable[..., float], arguments: list[Array]) -> list[Tensor]:
    """Central differences of ``loss`` by every element of every argument."""
    found = []
    for position, argument in enumerate(arguments):
        gradient = np.zeros_like(argument)
        for index in np.ndindex(argument.shape):
            values = []
            for sign in (1e-5, -1e-5):
                moved = argument.copy()
                moved[index] += sign
                values.append(loss(*arguments[:position], moved, *arguments[position + 1 :]))
            gradient[index] = (values[0] - values[1]) / 2e-5
        found.append(torch.from_numpy(gradient))
    return found


class TestOnlineSpikingRenormalization:
    def test_is_the_slow_one_with_its_gradients(self) -> None:
        norm = make("osr")
        slow = SlowOnlineNorm(C, norm.eps)
        weight, bias = array(norm.weight), array(norm.bias)
        for seed in range(4):
            x = sequence(seed).requires_grad_()
            expected, frozen = slow.train(array(x), weight, bias)
            y = norm(x)
            assert_same(y.detach(), torch.from_numpy(expected))
            assert_same(array(norm.running_mean), slow.mean)
            assert_same(array(norm.running_var), slow.var)
        grad = sequence(100)

        def loss(x: Array, weight: Array, bias: Array) -> float:
            steps = [
                renormalized(s, weight, bias, f, norm.eps) for s, f in zip(x, frozen, strict=True)
            ]
            return float((np.stack(steps) * grad.numpy()).sum())

        wanted = finite_differences(loss, [array(x), weight, bias])
        assert_same(gradients(norm, y, x, grad), wanted, rtol=1e-6, atol=1e-7)

    def test_a_sequence_cut_short_counts_its_steps(self) -> None:
        norm, slow = make("osr"), SlowOnlineNorm(C, 1e-4)
        for seed, steps in enumerate([T, 1, 2]):
            x = sequence(seed, steps)
            slow.train(x.numpy(), array(norm.weight), array(norm.bias))
            norm(x)
        assert_same(array(norm.running_mean), slow.mean)
        assert_same(array(norm.running_var), slow.var)
        assert norm.num_batches_tracked == 2

    def test_without_momentum_every_sequence_weighs_the_same(self) -> None:
        norm = make("osr", momentum=None)
        batches = [sequence(seed) for seed in range(4)]
        for x in batches:
            norm(x)
        seen = torch.stack(batches[:3])
        assert_same(norm.running_mean, seen.mean((0, 1, 2, 4, 5)))
        assert_same(norm.running_var, seen.var((1, 2, 4, 5), correction=0).mean(0))


class TestSharedHomeostatic:
    def test_is_the_slow_one_with_its_gradients(self) -> None:
        norm = make("homeostatic-shared")
        slow = SlowHomeostaticNorm(C, norm.eps, 0.1)
        weight, bias = array(norm.weight), array(norm.bias)
        for seed in range(4):
            x = sequence(seed).requires_grad_()
            flat = array(x).reshape(T * N, C, H, W)
            expected, frozen = slow.train(flat, weight, bias)
            y = norm(x)
            assert_same(y.detach(), torch.from_numpy(expected).view_as(y))
        assert_same(norm.running_mean, torch.tensor(slow.mean, dtype=torch.float64))
        assert_same(norm.running_var, torch.tensor(slow.var, dtype=torch.float64))
        grad = sequence(100)

        def loss(x: Array, weight: Array, bias: Array) -> float:
            y = renormalized(x, weight, bias, frozen, norm.eps)
            return float((y * grad.numpy().reshape(y.shape)).sum())

        wanted = finite_differences(loss, [flat, weight, bias])
        wanted[0] = wanted[0].view_as(x)
        assert_same(gradients(norm, y, x, grad), wanted, rtol=1e-6, atol=1e-7)

    def test_on_the_first_batch_it_is_batchnorm_over_time(self) -> None:
        norm = norms.SharedHomeostaticNorm2d(C, T, dtype=torch.float64)
        peer = norms.SequenceBatchNorm2d(C, T, norm.eps, dtype=torch.float64)
        assert_same(norm(sequence(1)), peer(sequence(1)))


class TestPerSample:
    @pytest.mark.parametrize("channels", [16, 6])
    @pytest.mark.parametrize("kind", [norms.GroupNorm2d, norms.LayerNorm2d])
    def test_is_the_slow_one(self, kind: Any, channels: int) -> None:
        norm = kind(channels, dtype=torch.float64)
        with torch.no_grad():
            norm.weight.add_(torch.linspace(-0.5, 0.5, channels, dtype=torch.float64))
            norm.bias.add_(torch.linspace(-1, 1, channels, dtype=torch.float64))
        x = torch.randn(5, channels, H, W, dtype=torch.float64) * 3 + 1
        groups = {16: 4, 6: 1}[channels] if kind is norms.GroupNorm2d else 1
        expected = slow_group_norm(x.numpy(), groups, array(norm.weight), array(norm.bias), 1e-5)
        assert_same(norm(x).detach(), torch.from_numpy(expected))

    def test_groups(self) -> None:
        channels = [1, 4, 7, 8, 12, 16, 32, 64, 96, 128, 256, 512]
        assert [groups_of(c) for c in channels] == [1, 1, 1, 2, 3, 4, 8, 16, 24, 32, 32, 32]

    @pytest.mark.parametrize("shape", [(C,), (N, C, H), (N, C + 1, H, W), (1, T, N, C, H, W)])
    def test_another_shape(self, shape: tuple[int, ...]) -> None:
        with pytest.raises(ValueError, match=r"C = 2, got \("):
            norms.GroupNorm2d(C)(torch.zeros(shape))
        with pytest.raises(ValueError, match=r"C = 2, got \("):
            norms.GroupNorm2d(C)(torch.zeros(T, N, C, H, W), 0)


class TestWeightStandardization:
    def test_is_the_slow_one_with_its_gradients(self) -> None:
        norm = make("weightstd")
        weight = torch.randn(C, 3, 3, 3, dtype=torch.float64) + 0.5
        expected = slow_weight_standardization(weight.numpy(), array(norm.gain), norm.eps)
        assert_same(norm.standardize(weight).detach(), torch.from_numpy(expected))

        def output(weight: Tensor, gain: Tensor) -> Tensor:
            y: Tensor = torch.func.functional_call(norm, {"gain": gain}, (weight,))
            return y

        inputs = (weight.requires_grad_(), norm.gain.detach().clone().requires_grad_())
        assert torch.autograd.gradcheck(output, inputs)

    def test_as_a_parametrization_of_a_convolution(self) -> None:
        convolution = nn.Conv2d(3, C, 3, bias=False)
        norm = norms.ScaledWeightStandardization(C)
        weight = convolution.weight.detach().clone()
        nn.utils.parametrize.register_parametrization(convolution, "weight", norm)
        x = torch.randn(2, 3, 5, 5)
        assert_same(convolution(x), nn.functional.conv2d(x, norm.standardize(weight)))

    def test_keeps_the_variance_behind_rectified_units(self) -> None:
        torch.manual_seed(0)
        weight = norms.ScaledWeightStandardization(400).standardize(torch.randn(400, 400, 1, 1))
        x = torch.randn(400, 400, 1, 1).relu()
        variance = float(nn.functional.conv2d(x, weight.detach()).var())
        assert variance == pytest.approx(1, abs=0.05)

    def test_another_shape(self) -> None:
        with pytest.raises(ValueError, match=r"\(O, I, H, W\) with O = 2, got \(3, 1, 3, 3\)"):
            norms.ScaledWeightStandardization(C).standardize(torch.zeros(3, 1, 3, 3))


class TestAgainstSpikingJelly:
    """Over three batches; differences by design are made up for and named."""

    def compare(self, ours: Any, theirs: Any, parameters: dict[str, str]) -> None:
        theirs.double()
        with torch.no_grad():
            for name, its_name in parameters.items():
                theirs.get_parameter(its_name).copy_(ours.get_parameter(name))
        for seed in range(3):
            x = sequence(seed).requires_grad_()
            y, expected = ours(x), theirs(x)
            assert_same(y, expected)
            (grad_x,) = torch.autograd.grad((y * sequence(50)).sum(), x)
            (expected_x,) = torch.autograd.grad((expected * sequence(50)).sum(), x)
            assert_same(grad_x, expected_x)
        x = sequence(9)
        assert_same(ours.eval()(x), theirs.eval()(x))

    def test_tdbn_whose_weight_starts_at_the_threshold(self) -> None:
        theirs = spikingjelly_layer.ThresholdDependentBatchNorm2d(0.5, 0.6, C)
        ours = norms.ThresholdDependentBatchNorm2d(
            C, T, threshold=0.6, branches=4, dtype=torch.float64
        )
        nn.init.constant_(theirs.double().weight, 0.5 * 0.6)  # in double precision
        self.compare(ours, theirs, {})

    def test_tebn(self) -> None:
        theirs = spikingjelly_layer.TemporalEffectiveBatchNorm2d(T, C)
        self.compare(make("tebn"), theirs, {"weight": "weight", "bias": "bias", "p": "scale"})

    def test_bntt_with_its_own_eps(self) -> None:
        class EachSequence(nn.Module):
            """Theirs counts steps until it is reset."""

            def __init__(self) -> None:
                super().__init__()
                self.norm = spikingjelly_layer.BatchNormThroughTime2d(T, C, eps=1e-4, step_mode="m")

            def forward(self, x: Tensor) -> Tensor:
                self.norm.reset()
                y: Tensor = self.norm(x)
                return y

        theirs, ours = EachSequence(), make("bntt")
        with torch.no_grad():
            for peer, weight in zip(theirs.double().norm.bn_list, ours.weight, strict=True):
                peer.weight.copy_(weight)
        self.compare(ours, theirs, {})

    def test_mpbn_at_the_first_step_after_which_theirs_carries_the_normalized_membrane_on(
        self,
    ) -> None:
        theirs = spikingjelly_neuron.MPBNLIFNode(
            tau=2.0, decay_input=False, v_reset=None, out_channels=C, step_mode="s"
        ).double()
        ours = make("mpbn")
        with torch.no_grad():
            theirs.vbn.weight.copy_(ours.weight), theirs.vbn.bias.copy_(ours.bias)
        for seed in range(3):
            current = sequence(seed)[0]
            theirs.reset()
            assert_same(theirs(current), (ours(current, 0) >= 1).double())
        assert_same(theirs.vbn.running_mean, ours.running_mean)
        assert_same(theirs.vbn.running_var, ours.running_var)


class TestProtocol:
    @pytest.mark.parametrize("name", STEP_BY_STEP)
    def test_in_training_a_sequence_is_its_steps(self, name: str) -> None:
        at_once = make(name)
        by_step = copy.deepcopy(at_once)
        for seed in range(3):
            x = sequence(seed).requires_grad_()
            y, y_by_step = at_once(x), torch.stack([by_step(x[t], t) for t in range(T)])
            assert_same(y, y_by_step)
            grad = sequence(50)
            assert_same(gradients(at_once, y, x, grad), gradients(by_step, y_by_step, x, grad))
            assert_same(at_once.state_dict(), by_step.state_dict())

    @pytest.mark.parametrize("name", [n for n in OF_ACTIVATIONS if n not in STEP_BY_STEP])
    def test_else_a_step_in_training_is_an_error(self, name: str) -> None:
        norm = make(name)
        norm(sequence(1))
        before = copy.deepcopy(norm.state_dict())
        assert norm.whole_sequence
        with pytest.raises(ValueError, match=r"statistics of all time steps .* got step 1 alone"):
            norm(sequence(1)[1], 1)
        assert_same(norm.state_dict(), before)

    @pytest.mark.parametrize("name", OF_ACTIVATIONS)
    def test_in_evaluation_a_sequence_is_its_steps_and_learns_nothing(self, name: str) -> None:
        norm = make(name)
        norm(sequence(0)), norm(sequence(1))
        before = copy.deepcopy(norm.state_dict())
        norm.eval()
        x = sequence(2)
        assert_same(norm(x), torch.stack([norm(x[t], t) for t in range(T)]))
        assert_same(norm(x)[:2], norm(x[:2]))
        assert_same(norm.state_dict(), before)

    @pytest.mark.parametrize("name", OF_ACTIVATIONS)
    def test_the_map_of_evaluation(self, name: str) -> None:
        norm = make(name)
        norm(sequence(0)), norm(sequence(1))
        affine = evaluation_map(norm)
        if NORMS[name].folds is None:
            assert affine is None
            return
        assert affine is not None
        each_step = NORMS[name].folds == "weights of each step"
        assert {values.shape for values in affine} == {(T, C) if each_step else (C,)}
        scale, offset = (v.expand(T, C)[:, None, :, None, None] for v in affine)
        x = sequence(2)
        assert_same(norm.eval()(x), x * scale + offset)

    @pytest.mark.parametrize("name", OF_ACTIVATIONS)
    @pytest.mark.parametrize("constant", [False, True])
    def test_standardization_says_what_the_norm_does(self, name: str, constant: bool) -> None:
        norm = make(name)
        if not isinstance(norm, Standardizes):
            assert name in ("groupnorm", "layernorm")
            return
        twin = copy.deepcopy(norm)
        for training in (True, True, False):
            norm.train(training), twin.train(training)
            x = sequence(1, 1).requires_grad_() if constant else sequence(1).requires_grad_()
            full = x.expand(T, -1, -1, -1, -1)
            mapped = twin.standardization(x, slice(0, T))
            mean, inverse, scale, offset = (v[:, None, :, None, None] for v in mapped[:4])
            assert_same(norm(full), (full - mean) * inverse * scale + offset)
            assert_same(norm.state_dict(), twin.state_dict())
            assert {tuple(values.shape) for values in mapped[:4]} == {(T, C)}

    @pytest.mark.parametrize("name", norms_of("snn"))
    def test_its_state_goes_to_another_and_back(self, name: str) -> None:
        norm = make(name)
        if name in OF_ACTIVATIONS:
            norm(sequence(0)), norm(sequence(1))
        for twin in (make(name), pickle.loads(pickle.dumps(norm)), copy.deepcopy(norm)):
            twin.load_state_dict(norm.state_dict())
            assert_same(twin.state_dict(), norm.state_dict())
            if name in OF_ACTIVATIONS:
                assert torch.equal(copy.deepcopy(norm)(sequence(2)), twin(sequence(2)))

    @pytest.mark.parametrize("name", [n for n in norms_of("snn") if n != "none"])
    def test_made_on_another_device_reset_and_written_out(self, name: str) -> None:
        layer = load_reference(NORMS[name].layers["snn"])
        norm = layer(C, T, device="meta", dtype=torch.float64)
        assert all(value.is_meta for value in norm.state_dict().values())
        norm.to_empty(device="cpu").reset_parameters()
        assert_same(norm.state_dict(), layer(C, T, dtype=torch.float64).state_dict())
        assert repr(norm).startswith(f"{layer.__name__}(")
        assert getattr(norm, "place", "currents") == NORMS[name].place
        plain = layer(C, T, affine=False)
        assert not [p for p in plain.parameters() if p.requires_grad]

    @pytest.mark.parametrize("name", MOVING)
    def test_without_momentum_every_batch_weighs_the_same(self, name: str) -> None:
        norm = make(name, momentum=None)
        for seed in range(4):
            norm(sequence(seed))
        seen = torch.stack([sequence(seed) for seed in range(3 if name == "osr" else 4)])
        expected = {
            "tab": torch.stack([seen[:, : t + 1].mean((0, 1, 2, 4, 5)) for t in range(T)]),
            **dict.fromkeys(["bntt", "homeostatic"], seen.mean((0, 2, 4, 5))),
        }
        assert_same(norm.running_mean, expected.get(name, seen.mean((0, 1, 2, 4, 5))))

    @pytest.mark.parametrize("name", [n for n in norms_of("ann") if n != "none"])
    def test_of_an_artificial_network(self, name: str) -> None:
        norm = make_norm(name, C)
        if isinstance(norm, OnWeights):
            assert NORMS[name].place == "weights"
            return
        x = sequence(1)[0].float()
        norm(x), norm(x)
        affine = evaluation_map(norm.eval())
        assert (affine is None) == (NORMS[name].folds is None)
        if affine is not None:
            scale, offset = (v[:, None, None] for v in affine)
            assert_same(norm(x), x * scale + offset, rtol=1e-5, atol=1e-5)

    @pytest.mark.parametrize(("threshold", "branches"), [(0.0, 1), (float("nan"), 1), (1.0, 0)])
    def test_a_threshold_or_branches_that_cannot_be(self, threshold: float, branches: int) -> None:
        with pytest.raises(ValueError, match=rf"got threshold {threshold} and branches {branches}"):
            norms.ThresholdDependentBatchNorm2d(C, T, threshold=threshold, branches=branches)


def test_public_names() -> None:
    assert norms.__all__ == sorted(norms.__all__)
    layers = {ref.split(":")[1] for norm in NORMS.values() for ref in norm.layers.values()}
    assert set(norms.__all__) == layers - {"Identity", "BatchNorm2d"} | {"make_norm", "synchronize"}
    assert all(getattr(norms, name).__doc__ for name in norms.__all__)


def test_no_two_norms_look_alike() -> None:
    for part in ("label", "color", "marker"):
        assert len({getattr(norm, part) for norm in NORMS.values()}) == len(NORMS)
    assert list(norms_of("ann")) == [
        "none", "batchnorm", "groupnorm", "layernorm", "weightstd", "homeostatic",
    ]  # fmt: skip
    assert list(norms_of("snn")) == [
        "none", "batchnorm", "bntt", "tdbn", "tebn", "tab", "mpbn", "osr",
        "groupnorm", "layernorm", "weightstd", "homeostatic", "homeostatic-shared",
    ]  # fmt: skip
