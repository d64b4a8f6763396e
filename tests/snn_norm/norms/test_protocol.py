"""What every norm promises: sequences and steps, evaluation, state, construction."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
from field_norms import (
    MOVING,
    OF_ACTIVATIONS,
    STEP_BY_STEP,
    C,
    T,
    assert_same,
    gradients,
    make,
    sequence,
)

from snn_norm import norms
from snn_norm.norms.make import make_norm
from snn_norm.norms.protocol import OnWeights, Standardizes, evaluation_map
from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import load_reference


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
        "none", "batchnorm", "bntt", "tdbn", "tebn", "tab", "mpbn",
        "batchnorm-mpbn", "osr",
        "groupnorm", "layernorm", "weightstd", "homeostatic", "homeostatic-shared",
    ]  # fmt: skip
