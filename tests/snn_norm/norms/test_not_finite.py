"""A batch that is not finite is seen in the output, and leaves no trace in moving statistics."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from field_norms import MOVING, T, assert_same, make, sequence
from torch import Tensor, nn

from snn_norm.networks.cnn import SNNCNN
from snn_norm.norms import HomeostaticNorm

broken_by = pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])


def broken(x: Tensor, value: float, *index: Any) -> Tensor:
    x = x.clone()
    x[index] = value
    return x


@broken_by
@pytest.mark.parametrize("name", MOVING)
def test_a_batch_of_which_no_channel_is_finite_is_forgotten(name: str, value: float) -> None:
    norm, undisturbed = make(name), make(name)
    for seed in range(5):
        if seed in (0, 2):  # before the first batch, and between others
            y = norm(broken(sequence(seed + 10), value, slice(None), 0, slice(None), 0, 0))
            assert y.isnan().any((1, 3, 4)).all()
        assert_same(norm(sequence(seed)), undisturbed(sequence(seed)))
    assert_same(norm.state_dict(), undisturbed.state_dict())


@broken_by
@pytest.mark.parametrize("name", MOVING)
def test_other_channels_learn_from_a_batch(name: str, value: float) -> None:
    norm, finite = make(name), make(name)
    norm(sequence(0)), finite(sequence(0))
    x = sequence(1)
    y = norm(broken(x, value, slice(None), 0, 1, 0, 0))
    assert_same(y[:, :, 0], finite(x)[:, :, 0])
    if name == "osr":  # whose statistics take in a batch when the next one begins
        norm(sequence(2)), finite(sequence(2))
    before = make(name)
    before(sequence(0))
    if name == "osr":
        before._end_sequence()
    for key in ("running_mean", "running_var"):
        found, learned, kept = (getattr(n, key) for n in (norm, finite, before))
        assert_same(found[..., 0], learned[..., 0])
        assert_same(found[..., 1], kept[..., 1])
    assert_same(norm.num_batches_tracked, finite.num_batches_tracked)


@pytest.mark.parametrize("name", ["bntt", "homeostatic"])
def test_other_steps_learn_from_a_batch(name: str) -> None:
    norm, finite = make(name), make(name)
    norm(sequence(0)), finite(sequence(0))
    norm(broken(sequence(1), float("nan"), 1, 0, slice(None), 0, 0))
    for t in (0, 2):
        finite(sequence(1)[t], t)
    assert_same(norm.state_dict(), finite.state_dict())


@broken_by
@pytest.mark.parametrize("momentum", [0.1, None])
def test_of_an_artificial_network(value: float, momentum: float | None) -> None:
    norm, undisturbed = (HomeostaticNorm(2, momentum=momentum).double() for _ in range(2))
    for seed in range(4):
        x = sequence(seed)[0]
        if seed == 2:
            assert norm(broken(x, value, 0, slice(None), 0, 0)).isnan().any((0, 2, 3)).all()
        assert_same(norm(x), undisturbed(x))
    assert_same(norm.state_dict(), undisturbed.state_dict())


@pytest.mark.parametrize("norm", ["bntt", "homeostatic", "osr", "mpbn"])
def test_a_spiking_network_whose_step_a_grad_scaler_skips_recovers(norm: str) -> None:
    torch.manual_seed(0)
    network = SNNCNN(norm, num_steps=T, width=4, image_size=8, in_channels=1)
    images, labels = torch.rand(6, 1, 8, 8), torch.arange(6)
    for x in (images, broken(images, float("nan"), 0, 0, 0, 0), images, images):
        loss = nn.functional.cross_entropy(network(x), labels)
        gradients = torch.autograd.grad(loss, list(network.parameters()))
        finite = all(gradient.isfinite().all() for gradient in gradients)
        assert finite == bool(x.isfinite().all())
    assert all(buffer.isfinite().all() for buffer in network.buffers())


# Dynamo itself makes an instance of an autograd function, and warns of it.
@pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
@pytest.mark.parametrize("name", ["bntt", "homeostatic", "osr"])
def test_compiled(name: str) -> None:
    norm, undisturbed = make(name), make(name)
    compiled = torch.compile(norm, backend="aot_eager")
    for seed in range(4):
        if seed == 1:
            compiled(broken(sequence(9), float("nan"), slice(None), 0, slice(None), 0, 0))
        assert_same(compiled(sequence(seed)), undisturbed(sequence(seed)))
    assert_same(norm.state_dict(), undisturbed.state_dict())
