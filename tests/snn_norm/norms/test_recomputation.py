from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from snn_norm import norms
from snn_norm.norms import HomeostaticNorm, TemporalHomeostaticNorm2d

T, C = 3, 4

either_way = pytest.mark.parametrize("use_reentrant", [True, False])


def draw(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64)
    return (x * (1 + 0.3 * seed) + 0.5 * seed).requires_grad_()


class Static(nn.Module):
    """Norms whose input depends on another norm's output."""

    shape = (5, C, 4, 4)

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            HomeostaticNorm(C), nn.Tanh(), nn.Conv2d(C, C, 3, padding=1), HomeostaticNorm(C)
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x).tanh()
        return y


class Sequences(nn.Module):
    shape = (T, 5, C, 4, 4)
    kind: Any = TemporalHomeostaticNorm2d

    def __init__(self) -> None:
        super().__init__()
        self.norms = nn.ModuleList(self.kind(C, T) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = norm(x).tanh()
        return x


class Steps(Sequences):
    def forward(self, x: Tensor) -> Tensor:
        for norm in self.norms:
            x = torch.stack([norm(step, t) for t, step in enumerate(x)]).tanh()
        return x


def sequences_of(kind: Any) -> Any:
    return type(kind.__name__, (Sequences,), {"kind": kind})


OTHERS = [
    norms.BatchNormThroughTime2d,
    norms.MembranePotentialBatchNorm2d,
    norms.OnlineSpikingRenormalization2d,
    norms.SequenceBatchNorm2d,
    norms.SharedHomeostaticNorm2d,
    norms.TemporalAccumulatedBatchNorm2d,
]

RECALLING = [
    norms.OnlineSpikingRenormalization2d,
    norms.SharedHomeostaticNorm2d,
    norms.TemporalHomeostaticNorm2d,
]

every_model = pytest.mark.parametrize(
    "kind", [Static, Sequences, Steps, *map(sequences_of, OTHERS)], ids=lambda kind: kind.__name__
)


def models(kind: Any) -> tuple[Any, Any]:
    torch.manual_seed(0)
    model = kind().double()
    return model, copy.deepcopy(model)


def gradients(model: nn.Module, outputs: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    loss = sum((y * y.detach().cos()).sum() for y in outputs)
    assert isinstance(loss, Tensor)
    return list(torch.autograd.grad(loss, [*inputs, *model.parameters()]))


def checkpointed(model: nn.Module, x: Tensor, use_reentrant: bool) -> Tensor:
    y: Tensor = checkpoint(model, x, use_reentrant=use_reentrant)
    return y


def gradients_of_checkpointed(
    model: nn.Module, outputs: list[Tensor], inputs: list[Tensor]
) -> list[Tensor]:
    """The same; a reentrant checkpoint refuses ``torch.autograd.grad``."""
    model.zero_grad()
    loss = sum((y * y.detach().cos()).sum() for y in outputs)
    assert isinstance(loss, Tensor)
    loss.backward()
    found = [tensor.grad for tensor in [*inputs, *model.parameters()]]
    assert None not in found
    return found  # type: ignore[return-value]


def assert_same(actual: Any, expected: Any) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-12, atol=1e-12)


@either_way
@every_model
def test_checkpointed_training_is_training(kind: Any, use_reentrant: bool) -> None:
    plain, saving = models(kind)
    for seed in range(3):
        x, x_again = draw(*kind.shape, seed=seed), draw(*kind.shape, seed=seed)
        expected = gradients(plain, [plain(x)], [x])
        y = checkpointed(saving, x_again, use_reentrant)
        assert_same(gradients_of_checkpointed(saving, [y], [x_again]), expected)
        assert_same(saving.state_dict(), plain.state_dict())


@either_way
@every_model
def test_several_micro_batches_wait_for_their_gradients(kind: Any, use_reentrant: bool) -> None:
    plain, saving = models(kind)
    xs, again = ([draw(*kind.shape, seed=seed) for seed in range(3)] for _ in range(2))
    expected = gradients(plain, [plain(x) for x in xs], xs)
    ys = [checkpointed(saving, x, use_reentrant) for x in again]
    assert_same(gradients_of_checkpointed(saving, ys, again), expected)
    assert_same(saving.state_dict(), plain.state_dict())


@either_way
def test_the_same_batch_over_and_over(use_reentrant: bool) -> None:
    plain, saving = models(Static)
    for seed in [0, 1, 1, 1]:
        x, x_again = draw(*Static.shape, seed=seed), draw(*Static.shape, seed=seed)
        expected = gradients(plain, [plain(x)], [x])
        y = checkpointed(saving, x_again, use_reentrant)
        assert_same(gradients_of_checkpointed(saving, [y], [x_again]), expected)


def test_gradients_of_one_graph_twice() -> None:
    model, _ = models(Static)
    x = draw(*Static.shape, seed=1)
    y = checkpointed(model, x, use_reentrant=False)
    first, second = (torch.autograd.grad(y.sum(), x, retain_graph=True) for _ in range(2))
    assert_same(first, second)


def test_a_network_that_diverged_goes_on() -> None:
    norm = HomeostaticNorm(C)
    x = torch.full((5, C), float("nan"), requires_grad=True)
    checkpointed(norm, x, use_reentrant=False).sum().backward()
    assert x.grad is not None
    assert x.grad.isnan().all()


@either_way
def test_two_passes_that_cannot_be_told_apart_are_an_error(use_reentrant: bool) -> None:
    norm = HomeostaticNorm(C).double()
    norm(draw(5, C, seed=0))
    ys = [checkpointed(norm, draw(5, C, seed=1), use_reentrant) for _ in range(2)]
    with pytest.raises(RuntimeError, match=r"several passes had the same batch statistics"):
        (ys[0] + ys[1]).sum().backward()


@either_way
@pytest.mark.parametrize("before", ["plain", "no_grad", "inference_mode"])
@pytest.mark.parametrize("kind", [Static, *map(sequences_of, RECALLING)])
def test_a_silent_layer_after_a_pass_outside_of_checkpoints(
    kind: Any, before: str, use_reentrant: bool
) -> None:
    """All batches of a silent layer have the same statistics, and only one pass is pending."""
    plain, saving = models(kind)
    grads = []
    for model, run in ((plain, None), (saving, use_reentrant)):
        model(draw(*kind.shape, seed=1))  # from which the moving statistics come
        x = torch.zeros(kind.shape, dtype=torch.float64, requires_grad=True)
        if before == "plain":
            model(x).sum().backward()
        else:
            with getattr(torch, before)():
                model(x)
        y = model(x) if run is None else checkpointed(model, x, run)
        grads.append(gradients_of_checkpointed(model, [y], [x]))
    assert_same(grads[1], grads[0])


@either_way
def test_a_pass_too_long_ago_is_an_error(use_reentrant: bool) -> None:
    norm = HomeostaticNorm(C).double()
    ys = [checkpointed(norm, draw(5, C, seed=seed), use_reentrant) for seed in range(17)]
    ys[1].sum().backward()
    with pytest.raises(RuntimeError, match=r"none of the last 16 passes'"):
        ys[0].sum().backward()


# Dynamo itself makes an instance of an autograd function, and warns of it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
class TestCompiled:
    def test_a_compiled_layer_in_a_checkpoint_is_an_error(self) -> None:
        norm = torch.compile(HomeostaticNorm(C), backend="aot_eager")
        x = torch.randn(5, C, requires_grad=True)
        y = checkpoint(norm, x, use_reentrant=False)
        with pytest.raises(RuntimeError, match="leave the normalization out of the checkpoint"):
            y.sum().backward()

    def test_and_so_is_a_checkpoint_in_what_is_compiled(self) -> None:
        model, _ = models(Static)
        run = torch.compile(checkpointed, backend="aot_eager")
        y = run(model, draw(*Static.shape, seed=0), use_reentrant=False)
        with pytest.raises(RuntimeError, match="leave the normalization out of the checkpoint"):
            y.sum().backward()
