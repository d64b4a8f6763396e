"""One training run: its seed, its measurements, and how it ends."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from small_runs import (
    BATCH,
    TRAIN,
    assert_bit_for_bit,
    config,
    numbers,
)
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from snn_norm.data.dataset import Dataset, crop_and_flip, load_dataset, normalize
from snn_norm.networks.spiking import SNNCNN
from snn_norm.training.epoch import EpochResult
from snn_norm.training.run import TrainingRun


@pytest.mark.parametrize("architecture", ["ann", "snn"])
@pytest.mark.parametrize("norm", ["homeostatic", "small_runs:Noisy", "none"])
def test_bf16_is_near_float32_and_keeps_float32(
    data: Dataset, architecture: str, norm: str
) -> None:
    runs = [
        TrainingRun(config(architecture=architecture, norm=norm, precision=precision), data)
        for precision in ("float32", "bf16")
    ]
    exact, rounded = (run.run_epoch() for run in runs)
    assert rounded.train_loss != exact.train_loss
    assert rounded.train_loss == pytest.approx(exact.train_loss, rel=0.15)
    floating = [v for v in runs[1].model.state_dict().values() if v.is_floating_point()]
    assert {value.dtype for value in floating} == {torch.float32}


class NoValues(TorchDispatchMode):
    """Refuses what makes the host wait for a device's value: item(), bool(), float(), nonzero()."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        assert func.overloadpacket not in (
            torch.ops.aten._local_scalar_dense,
            torch.ops.aten.nonzero,
        )
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("precision", ["float32", "bf16"])
@pytest.mark.parametrize(
    ("architecture", "norm"),
    [("ann", "homeostatic"), ("snn", "none"), ("snn", "bntt"), ("snn", "homeostatic")],
)
def test_a_step_waits_for_no_value(
    data: Dataset, architecture: str, norm: str, precision: str
) -> None:
    keys = config(architecture=architecture, norm=norm, precision=precision)
    model, bf16 = TrainingRun(keys, data).model, precision == "bf16"
    with NoValues():
        images = crop_and_flip(data.train_images[:BATCH], torch.Generator().manual_seed(1))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = model(normalize(images, data.mean, data.std))
        F.cross_entropy(logits.float(), data.train_labels[:BATCH]).backward()
    with pytest.raises(AssertionError), NoValues():
        logits.sum().item()


class TestSeed:
    @pytest.mark.parametrize("norm", ["homeostatic", "small_runs:Noisy"])
    def test_the_same_gives_the_same(self, data: Dataset, norm: str) -> None:
        first = TrainingRun(config(norm=norm, augment=True), data)
        list(first.epochs())
        # A run between the two, with another seed, must leave no trace.
        between = TrainingRun(config(norm=norm, augment=True, seed=7), data)
        list(between.epochs())
        second = TrainingRun(config(norm=norm, augment=True), data)
        list(second.epochs())
        assert_bit_for_bit(first, second)
        assert numbers(between) != numbers(first)

    def test_decides_the_initial_weights(self, data: Dataset) -> None:
        weights = [
            TrainingRun(config(seed=seed), data).model.state_dict()["classifier.weight"]
            for seed in (1, 1, 2)
        ]
        assert torch.equal(weights[0], weights[1])
        assert not torch.equal(weights[0], weights[2])

    def test_each_epoch_draws_anew(self, data: Dataset) -> None:
        drawn: list[Tensor] = []
        run = TrainingRun(config(learning_rate=1e-30, augment=True), data)
        run.model.register_forward_pre_hook(lambda *hooked: drawn.append(hooked[1][0]))
        sums = []
        for _ in range(2):
            drawn.clear()
            run.run_epoch()
            sums.append(torch.cat(drawn[: math.ceil(TRAIN / BATCH)]).sum((1, 2, 3)))
        assert not torch.equal(*sums)  # another order
        assert not torch.allclose(*(s.sort().values for s in sums))  # other crops


class TestMeasurements:
    def test_test_accuracy_and_loss_are_the_networks(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        result = run.run_epoch()
        with torch.no_grad():
            logits = run.model.eval()(normalize(data.test_images, data.mean, data.std))
        expected = (logits.argmax(1) == data.test_labels).float().mean().item()
        assert result.test_accuracy == pytest.approx(expected)
        loss = F.cross_entropy(logits, data.test_labels).item()
        assert result.test_loss == pytest.approx(loss, rel=1e-5)

    def test_training_numbers_are_those_of_its_batches(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        logits: list[Tensor] = []
        run.model.register_forward_hook(lambda *hooked: logits.append(hooked[2].detach()))
        order: list[Tensor] = []
        run.model.register_forward_pre_hook(lambda *hooked: order.append(hooked[1][0]))
        result = run.run_epoch()
        count = math.ceil(TRAIN / BATCH)
        images = normalize(data.train_images, data.mean, data.std)
        seen = torch.cat(order[:count])
        index = (seen[:, None] == images).flatten(2).all(2).int().argmax(1)
        assert sorted(index.tolist()) == list(range(TRAIN))
        labels = data.train_labels[index]
        loss = F.cross_entropy(torch.cat(logits[:count]), labels).item()
        assert result.train_loss == pytest.approx(loss, rel=1e-5)
        hits = (torch.cat(logits[:count]).argmax(1) == labels).float().mean().item()
        assert result.train_accuracy == pytest.approx(hits)

    def test_it_learns_and_says_so(self, data: Dataset) -> None:
        run = TrainingRun(config(epochs=10), data)
        results = list(run.epochs())
        assert [result.epoch for result in results] == list(range(1, 11))
        assert run.outcome == "completed"
        assert run.best is not None
        assert run.best.test_accuracy > 0.9

    def test_every_image_is_reported_once(self, data: Dataset) -> None:
        counts: list[int] = []
        TrainingRun(config(), data).run_epoch(counts.append)
        assert counts == [8, 8, 8, 8, 8, 4]

    @pytest.mark.parametrize("norm", ["bntt", "homeostatic", "none"])
    def test_spike_rates_are_snntorchs(self, data: Dataset, norm: str) -> None:
        run = TrainingRun(config(architecture="snn", norm=norm), data)
        result = run.run_epoch()
        slow = SNNCNN(
            norm,
            num_steps=4,
            neuron="snntorch",
            in_channels=1,
            num_classes=2,
            image_size=8,
            width=4,
        )
        slow.load_state_dict(run.model.state_dict(), strict=False)
        spikes: dict[str, list[Tensor]] = {layer: [] for layer in slow.neurons}
        for layer, neuron in slow.neurons.items():
            neuron.register_forward_hook(
                lambda *hooked, layer=layer: spikes[layer].append(hooked[2])
            )
        with torch.no_grad():
            slow.eval()(normalize(data.test_images, data.mean, data.std))
        expected = {layer: torch.stack(steps).mean().item() for layer, steps in spikes.items()}
        assert list(result.spike_rates) == [f"conv{n}" for n in range(1, 7)] + ["hidden"]
        assert result.spike_rates == pytest.approx(expected, abs=1e-3)
        assert result.spike_rates["conv1"] > 0
        assert result.metrics()["spike_rate.hidden"] == result.spike_rates["hidden"]

    def test_metrics_of_an_artificial_network(self, data: Dataset) -> None:
        result = TrainingRun(config(), data).run_epoch()
        assert result.metrics().keys() == {
            "train_loss",
            "train_accuracy",
            "test_loss",
            "test_accuracy",
            "images_per_second",
            "epoch_seconds",
        }
        assert 0 < TRAIN / result.images_per_second < result.epoch_seconds


class TestOutcome:
    def test_a_spiking_network_without_norm_collapses_on_digits(self) -> None:
        keys = config(
            architecture="snn",
            norm="none",
            dataset="digits",
            epochs=6,
            batch_size=64,
            learning_rate=1e-3,
            stop_when_collapsed_after=3,
        )
        run = TrainingRun(keys, load_dataset("digits", Path(), image_size=16))
        assert [result.epoch for result in run.epochs()] == [1, 2, 3]
        assert run.outcome == "collapsed"

    @pytest.mark.parametrize("norm", ["batchnorm", "none"])
    def test_numbers_beyond_range_diverge(self, data: Dataset, norm: str) -> None:
        run = TrainingRun(config(learning_rate=1e30, norm=norm, epochs=5), data)
        results = list(run.epochs())
        assert len(results) < 5
        assert run.outcome == "diverged"
        assert not math.isfinite(results[-1].train_loss) or not math.isfinite(results[-1].test_loss)
        assert run.best is None or run.best.is_finite

    @pytest.mark.parametrize(
        ("network", "stop_after", "epochs"),
        [
            ("NeverLearning", 2, 2),
            ("NeverLearning", None, 6),
            ("Fading", 2, 4),
            ("Fading", None, 6),
        ],
    )
    def test_collapsed_from_the_start_or_later(
        self, data: Dataset, network: str, stop_after: int | None, epochs: int
    ) -> None:
        keys = config(
            architecture=f"small_runs:{network}", stop_when_collapsed_after=stop_after, epochs=6
        )
        run = TrainingRun(keys, data)
        assert len(list(run.epochs())) == epochs
        assert run.outcome == "collapsed"
        assert run.best is not None
        if network == "Fading":
            assert run.best.test_accuracy > 0.8
            assert run.best.epoch <= 2

    @pytest.mark.parametrize(
        ("accuracies", "epochs", "stop_after", "outcome"),
        [
            ([], 3, None, None),
            ([0.5, 0.5], 3, None, None),
            ([0.5, 0.5, 0.5], 3, None, "collapsed"),
            ([0.5, 0.5, 0.5], 4, None, None),
            ([0.5, 0.5, 0.99], 3, None, "completed"),
            ([0.99, 0.5, 0.5], 3, None, "completed"),
            ([0.99, 0.5, 0.5, 0.5], 4, None, "collapsed"),
            ([0.5], 1, None, "collapsed"),
            ([0.99], 1, None, "completed"),
            ([0.5], 4, 2, None),
            ([0.5, 0.5], 4, 2, "collapsed"),
            ([0.5, 0.99, 0.5], 4, 2, None),
            ([0.5, 0.5], 2, 5, "collapsed"),
            ([0.99, math.nan], 4, None, "diverged"),
            ([math.nan], 1, None, "diverged"),
        ],
    )
    def test_by_the_history(
        self,
        data: Dataset,
        accuracies: list[float],
        epochs: int,
        stop_after: int | None,
        outcome: str | None,
    ) -> None:
        run = TrainingRun(config(epochs=epochs, stop_when_collapsed_after=stop_after), data)
        run.history = [measured(n, a, a) for n, a in enumerate(accuracies, start=1)]
        assert run.outcome == outcome

    def test_at_chance_on_both_sets_or_not_at_all(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        run.history = [measured(n, 0.99, 0.5) for n in (1, 2, 3)]
        assert run.outcome == "completed"
        run.history = [measured(n, 0.5, 0.99) for n in (1, 2, 3)]
        assert run.outcome == "completed"

    def test_best_is_the_first_of_the_finite_ones(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        assert run.best is None
        run.history = [measured(n, a, a) for n, a in enumerate([0.7, 0.9, 0.9, 0.8], start=1)]
        run.history.append(dataclasses.replace(measured(5, 1, 1), test_loss=math.inf))
        run.history.append(dataclasses.replace(measured(6, 1, 1), train_loss=math.nan))
        assert run.best == run.history[1]


def measured(epoch: int, train: float, test: float) -> EpochResult:
    """An epoch of these accuracies; NaN stands for a loss of NaN and an accuracy of chance."""
    loss = math.nan if math.isnan(test) else 1.0
    train, test = (0.5 if math.isnan(accuracy) else accuracy for accuracy in (train, test))
    return EpochResult(epoch, loss, train, loss, test, 1.0, 1.0)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"norm": "bntt"}, "got 'bntt'"),
        ({"architecture": "cnn"}, "got 'cnn'"),
        ({"norm": "no_such_module:norm"}, "cannot import 'no_such_module'"),
    ],
)
def test_a_network_that_cannot_be_built(data: Dataset, change: dict[str, str], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        TrainingRun(config(**change), data)
