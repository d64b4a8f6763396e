from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from slow_norms import Array, SlowHomeostaticNorm, renormalized
from torch import Tensor, nn

from snn_norm.norms.static import HomeostaticNorm

SHAPES = [(6, 3), (4, 3, 5), (3, 3, 2, 4)]
PEERS: dict[int, type[nn.Module]] = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d}

every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def draw(*shape: int, seed: int = 0, shift: float = 0.0, scale: float = 1.0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator, dtype=torch.float64) * scale + shift


def drifting(shape: tuple[int, ...], count: int) -> list[Tensor]:
    """Batches whose mean and deviation move, so that a wrong average shows."""
    return [draw(*shape, seed=n, shift=2 + 0.5 * n, scale=1 + 0.2 * n) for n in range(count)]


def with_own_affine(norm: Any) -> Any:
    with torch.no_grad():
        norm.weight.copy_(draw(*norm.weight.shape, seed=100, shift=1.0, scale=0.3))
        norm.bias.copy_(draw(*norm.bias.shape, seed=101))
    return norm


def run(norm: nn.Module, x: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Output, and gradients of the input and of the parameters."""
    x = x.clone().requires_grad_()
    y = norm(x)
    grads = torch.autograd.grad(y, [x, *norm.parameters()], grad)
    return y.detach(), grads[0], list(grads[1:])


def assert_same(actual: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, **{"rtol": 1e-9, "atol": 1e-11, **tolerance})


class TestAgainstTheSlowOne:
    @pytest.mark.parametrize("momentum", [0.1, 0.7, 1.0, 0.0, None])
    @pytest.mark.parametrize("eps", [1e-5, 0.1])
    @every_shape
    def test_output_and_statistics_over_batches(
        self, shape: tuple[int, ...], eps: float, momentum: float | None
    ) -> None:
        norm = with_own_affine(HomeostaticNorm(3, eps, momentum, dtype=torch.float64))
        slow = SlowHomeostaticNorm(3, eps, momentum)
        weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
        for count, x in enumerate(drifting(shape, 15), start=1):
            expected, _ = slow.train(x.numpy(), weight, bias)
            assert_same(norm(x).detach(), torch.from_numpy(expected))
            assert_same(norm.running_mean, torch.tensor(slow.mean, dtype=torch.float64))
            assert_same(norm.running_var, torch.tensor(slow.var, dtype=torch.float64))
            assert norm.num_batches_tracked == count

    @every_shape
    def test_gradients_against_finite_differences(self, shape: tuple[int, ...]) -> None:
        norm = with_own_affine(HomeostaticNorm(3, eps=0.01, dtype=torch.float64))
        slow = SlowHomeostaticNorm(3, 0.01, 0.1)
        weight, bias = norm.weight.detach().numpy(), norm.bias.detach().numpy()
        for x in drifting(shape, 4):
            _, frozen = slow.train(x.numpy(), weight, bias)
            grad = draw(*shape, seed=200)

            def loss(x: Array, weight: Array, bias: Array) -> float:
                y = renormalized(x, weight, bias, frozen, eps=0.01)  # noqa: B023
                return float((y * grad.numpy()).sum())  # noqa: B023

            expected = finite_differences(loss, [x.numpy(), weight, bias])
            _, grad_x, grad_parameters = run(norm, x, grad)
            for actual, wanted in zip([grad_x, *grad_parameters], expected, strict=True):
                assert_same(actual, torch.from_numpy(wanted), rtol=1e-6, atol=1e-7)


def finite_differences(loss: Callable[..., float], arguments: list[Array]) -> list[Array]:
    """Central differences of ``loss`` by every element of every argument."""
    step, gradients = 1e-5, []
    for position, argument in enumerate(arguments):
        gradient = np.zeros_like(argument)
        for index in np.ndindex(argument.shape):
            values = []
            for sign in (1, -1):
                moved = argument.copy()
                moved[index] += sign * step
                values.append(loss(*arguments[:position], moved, *arguments[position + 1 :]))
            gradient[index] = (values[0] - values[1]) / (2 * step)
        gradients.append(gradient)
    return gradients


class TestWhereItIsBatchNorm:
    """Output, gradients and, in evaluation, every number."""

    @pytest.fixture(params=SHAPES, ids=str)
    def shape(self, request: pytest.FixtureRequest) -> tuple[int, ...]:
        shape: tuple[int, ...] = request.param
        return shape

    def pair(self, shape: tuple[int, ...], **keys: Any) -> tuple[Any, Any]:
        peer = PEERS[len(shape)]
        return tuple(
            with_own_affine(kind(3, dtype=torch.float64, **keys))
            for kind in (HomeostaticNorm, peer)
        )

    def assert_equal(self, norms: tuple[Any, Any], x: Tensor) -> None:
        ours, theirs = (run(norm, x, draw(*x.shape, seed=300)) for norm in norms)
        assert_same(ours, theirs)

    def test_on_the_first_batch(self, shape: tuple[int, ...]) -> None:
        self.assert_equal(self.pair(shape), draw(*shape, shift=3, scale=2))

    def test_but_not_on_the_second(self, shape: tuple[int, ...]) -> None:
        norms = self.pair(shape)
        for x in drifting(shape, 2):
            ours, theirs = (norm(x) for norm in norms)
        assert (ours - theirs).abs().max() > 0.1

    def test_with_momentum_1(self, shape: tuple[int, ...]) -> None:
        norms = self.pair(shape, momentum=1.0)
        for x in drifting(shape, 5):
            self.assert_equal(norms, x)

    def test_on_one_batch_over_and_over(self, shape: tuple[int, ...]) -> None:
        norms = self.pair(shape)
        for _ in range(20):
            self.assert_equal(norms, draw(*shape, shift=3, scale=2))

    def test_in_evaluation_with_its_state(self, shape: tuple[int, ...]) -> None:
        ours, theirs = self.pair(shape)
        for x in drifting(shape, 12):
            theirs(x)
        ours.load_state_dict(theirs.state_dict())
        self.assert_equal((ours.eval(), theirs.eval()), draw(*shape, seed=9))
        assert_same(ours.state_dict(), theirs.state_dict())

    def test_its_state_back_again(self, shape: tuple[int, ...]) -> None:
        ours, theirs = self.pair(shape)
        for x in drifting(shape, 12):
            ours(x)
        theirs.load_state_dict(ours.state_dict())
        self.assert_equal((ours.eval(), theirs.eval()), draw(*shape, seed=9))

    def test_the_moving_mean_goes_on_from_its_state(self, shape: tuple[int, ...]) -> None:
        ours, theirs = self.pair(shape)
        batches = drifting(shape, 14)
        for x in batches[:10]:
            theirs(x)
        ours.load_state_dict(theirs.state_dict())
        for x in batches[10:]:  # from the tenth batch on, both weight a batch by the momentum
            ours(x), theirs(x)
            assert_same(ours.running_mean, theirs.running_mean)
        assert ours.num_batches_tracked == theirs.num_batches_tracked == 14


@given(
    batches=st.lists(
        st.lists(st.floats(-1e3, 1e3), min_size=4, max_size=4), min_size=1, max_size=12
    )
)
def test_without_momentum_the_statistics_are_those_of_all_values_seen(
    batches: list[list[float]],
) -> None:
    norm = HomeostaticNorm(1, momentum=None, dtype=torch.float64)
    for batch in batches:
        norm(torch.tensor(batch, dtype=torch.float64)[:, None])
    seen = torch.tensor(batches, dtype=torch.float64)
    torch.testing.assert_close(norm.running_mean, seen.mean()[None], rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(norm.running_var, seen.var(correction=0)[None], rtol=1e-9, atol=1e-6)


def test_evaluation_learns_nothing() -> None:
    norm = HomeostaticNorm(3)
    norm(torch.randn(4, 3))
    before = copy.deepcopy(norm.state_dict())
    norm.eval()(torch.randn(1, 3))
    assert_same(norm.state_dict(), before)


def test_without_affine_there_is_nothing_to_learn() -> None:
    norm = HomeostaticNorm(3, affine=False, dtype=torch.float64)
    assert not list(norm.parameters())
    peer = nn.BatchNorm2d(3, affine=False, dtype=torch.float64)
    x = draw(*SHAPES[2], shift=3)
    assert_same(norm(x), peer(x))
    var, mean = torch.var_mean(x, (0, 2, 3), correction=0, keepdim=True)
    assert_same(norm.eval()(x), (x - mean) / (var + 1e-5).sqrt())


@pytest.mark.parametrize("training", [True, False])
def test_half_precision_input_keeps_statistics_in_full(training: bool) -> None:
    half, full = HomeostaticNorm(3), HomeostaticNorm(3)
    for n in range(5):
        x = draw(16, 3, 4, 4, seed=n, shift=1).bfloat16()
        half(x), full(x.float())
    half.train(training), full.train(training)
    y, expected = half(x), full(x.float())
    assert y.dtype == torch.bfloat16
    assert half.running_mean.dtype == half.running_var.dtype == torch.float32
    assert_same(half.state_dict(), full.state_dict(), rtol=1e-5)
    assert_same(y.float(), expected, rtol=0.01, atol=0.02)


def test_defaults_and_text() -> None:
    assert repr(HomeostaticNorm(8)) == repr(nn.BatchNorm2d(8)).replace(
        "BatchNorm2d", "HomeostaticNorm"
    )


def test_made_on_another_device_in_another_type() -> None:
    norm = HomeostaticNorm(3, device="meta", dtype=torch.float64)
    state = norm.state_dict()
    assert all(tensor.is_meta for tensor in state.values())
    count = state.pop("num_batches_tracked")
    assert count.dtype == torch.long
    assert {tensor.dtype for tensor in state.values()} == {torch.float64}
    norm.to_empty(device="cpu").reset_parameters()
    assert_same(norm.state_dict(), HomeostaticNorm(3, dtype=torch.float64).state_dict())


def test_reset_parameters_forgets_everything() -> None:
    norm = with_own_affine(HomeostaticNorm(3))
    norm(torch.randn(4, 3))
    norm.reset_parameters()
    assert_same(norm.state_dict(), HomeostaticNorm(3).state_dict())


def pickled(norm: nn.Module) -> nn.Module:
    copied: nn.Module = pickle.loads(pickle.dumps(norm))
    return copied


def saved(norm: nn.Module) -> nn.Module:
    stream = io.BytesIO()
    torch.save(norm.state_dict(), stream)
    stream.seek(0)
    fresh = HomeostaticNorm(3)
    fresh.load_state_dict(torch.load(stream, weights_only=True))
    return fresh


@pytest.mark.parametrize("copied", [copy.deepcopy, pickled, saved])
def test_a_copy_goes_on_like_the_original(copied: Callable[[nn.Module], nn.Module]) -> None:
    norm = HomeostaticNorm(3)
    norm(torch.randn(4, 3))
    twin = copied(norm)
    x = torch.randn(4, 3)
    assert torch.equal(norm(x), twin(x))
    assert all(map(torch.equal, norm.state_dict().values(), twin.state_dict().values()))


# Dynamo itself makes an instance of an autograd function, and warns of it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
def test_it_compiles_as_one_graph() -> None:
    norm = HomeostaticNorm(3)
    twin = copy.deepcopy(norm)
    compiled = torch.compile(twin, backend="aot_eager", fullgraph=True)
    for x in drifting((4, 3, 2, 2), 3):
        grad = torch.randn(4, 3, 2, 2)
        assert_same(
            run(compiled, x.float(), grad), run(norm, x.float(), grad), rtol=1e-5, atol=1e-6
        )
    assert_same(twin.state_dict(), norm.state_dict(), rtol=1e-5)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, float("nan")])
def test_momentum_out_of_range(momentum: float) -> None:
    with pytest.raises(ValueError, match=rf"momentum must be from 0 to 1, or None, got {momentum}"):
        HomeostaticNorm(3, momentum=momentum)


@pytest.mark.parametrize("shape", [(3,), (4, 2), (4, 2, 3), (4, 4, 3, 3), (1, 4, 3, 2, 2)])
@pytest.mark.parametrize("training", [True, False])
def test_another_shape(shape: tuple[int, ...], training: bool) -> None:
    norm = HomeostaticNorm(3).train(training)
    with pytest.raises(ValueError, match="with C = 3, got ") as caught:
        norm(torch.zeros(shape))
    assert str(caught.value).endswith(str(shape))
    assert_same(norm.state_dict(), HomeostaticNorm(3).state_dict())


@pytest.mark.parametrize("shape", [(1, 3), (1, 3, 1), (1, 3, 1, 1), (0, 3)])
def test_one_value_a_channel_leaves_the_statistics_alone(shape: tuple[int, ...]) -> None:
    norm = HomeostaticNorm(3)
    norm(torch.randn(4, 3))
    before = copy.deepcopy(norm.state_dict())
    with pytest.raises(ValueError, match="more than one value a channel"):
        norm(torch.zeros(shape))
    assert_same(norm.state_dict(), before)
    assert norm.eval()(torch.zeros(shape)).shape == shape
