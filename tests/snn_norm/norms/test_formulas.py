"""The field's norms against references written from the papers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from field_norms import OF_BATCHES, C, H, N, T, W, array, assert_same, gradients, make, sequence
from slow_norms import (
    Array,
    SlowBatchNorm,
    SlowHomeostaticNorm,
    SlowOnlineNorm,
    renormalized,
    slow_group_norm,
    slow_weight_standardization,
)
from torch import Tensor, nn

from snn_norm import norms
from snn_norm.norms.per_sample import groups_of


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


@pytest.mark.parametrize("seed", range(8))
def test_accumulated_statistics_of_silence_and_then_large_means(seed: int) -> None:
    torch.manual_seed(seed)
    x = torch.zeros(10, 4, 8, 6, 6)
    x[5:] = 30 + torch.randn(5, 4, 8, 6, 6)
    norm = norms.TemporalAccumulatedBatchNorm2d(8, 10)
    expected = norms.TemporalAccumulatedBatchNorm2d(8, 10, dtype=torch.float64)(x.double())
    assert_same(norm(x).detach(), expected.float().detach(), rtol=1e-3, atol=1e-3)


def test_accumulated_statistics_of_more_values_than_a_half_can_count() -> None:
    norm = norms.TemporalAccumulatedBatchNorm2d(1, 3).half()
    norm(torch.randn(3, 16, 1, 64, 64).half())
    assert norm.running_var.isfinite().all()


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
