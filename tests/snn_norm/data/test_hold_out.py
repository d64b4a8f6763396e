"""Held-out training images: which they are, that nothing learns from them, what they select."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset, normalize
from snn_norm.data.hold_out import training_part
from snn_norm.data.local import DatasetError
from snn_norm.training.epoch import EpochResult
from snn_norm.training.run import TrainingRun


def shades(root: Path) -> tuple[Tensor, ...]:
    """A data set of this test: 20 images of class 0, 40 of class 1, each of its own shade."""
    del root
    labels = torch.arange(60) % 3 > 0
    order = torch.arange(60)
    shade = torch.where(order % 2 == 0, order, 255 - order).to(torch.uint8)
    images = shade[:, None, None, None].expand(60, 1, 8, 8).clone()
    return images, labels.long(), images[:12], labels[:12].long()


@pytest.fixture(scope="module")
def data() -> Dataset:
    return load_dataset(f"{__name__}:shades", Path())


def config(**changes: Any) -> RunConfig:
    keys = {
        "architecture": "ann", "norm": "homeostatic", "dataset": f"{__name__}:shades", "seed": 1,
        "epochs": 2, "batch_size": 8, "width": 2, "validation_fraction": 0.25,
    }  # fmt: skip
    return RunConfig(**{**keys, **changes})


def shade_of(images: Tensor) -> list[int]:
    shades: list[int] = images[:, 0, 0, 0].tolist()
    return shades


class TestSplit:
    def test_each_image_is_in_one_part_and_each_class_in_proportion(self, data: Dataset) -> None:
        rest, (images, labels) = training_part(data, None, 0.25)
        assert sorted(shade_of(images) + shade_of(rest.train_images)) == sorted(
            shade_of(data.train_images)
        )
        assert labels.bincount().tolist() == [5, 10]
        assert rest.train_labels.bincount().tolist() == [15, 30]
        by_shade = dict(zip(shade_of(data.train_images), data.train_labels.tolist(), strict=True))
        assert [by_shade[shade] for shade in shade_of(images)] == labels.tolist()
        assert torch.equal(rest.test_images, data.test_images)

    def test_it_is_what_it_has_always_been(self, data: Dataset) -> None:
        # Another split would make recorded trials others than their keys say.
        assert shade_of(training_part(data, None, 0.25)[1][0]) == [
            0, 246, 242, 14, 20, 26, 226, 224, 222, 220, 36, 218, 38, 210, 58
        ]  # fmt: skip

    def test_the_scale_is_that_of_the_images_that_are_left(self, data: Dataset) -> None:
        rest, _ = training_part(data, None, 0.25)
        left = rest.train_images.double() / 255
        assert rest.mean.item() == pytest.approx(left.mean().item(), rel=1e-5)
        assert rest.std.item() == pytest.approx(left.std(unbiased=False).item(), rel=1e-5)
        assert rest.mean.item() != data.mean.item()

    def test_of_a_real_data_set(self) -> None:
        digits = load_dataset("digits", Path())
        rest, (images, labels) = training_part(digits, None, 0.1)
        assert (len(rest.train_images), len(images), len(rest.test_images)) == (1293, 144, 360)
        assert set(labels.bincount().tolist()) <= {14, 15}

    @pytest.mark.parametrize("fraction", [0.01, 0.5])
    def test_a_class_that_cannot_be_in_both_parts(self, data: Dataset, fraction: float) -> None:
        labels = torch.tensor([0, 1, 1, 1])
        few = dataclasses.replace(data, train_images=data.train_images[:4], train_labels=labels)
        with pytest.raises(DatasetError, match=r"validation_fraction .* of the 4 training images"):
            training_part(few, None, fraction)


class TestOnlySome:
    def test_each_class_in_proportion_the_same_ones_always(self, data: Dataset) -> None:
        some = training_part(data, 15, 0)[0]
        assert some.train_labels.bincount().tolist() == [5, 10]
        chosen = shade_of(some.train_images)
        assert chosen == shade_of(training_part(data, 15, 0)[0].train_images)
        # Another choice would make recorded trials others than their keys say.
        assert chosen == [
            252, 4, 10, 238, 236, 24, 30, 32, 34, 214, 50, 52, 202, 54, 198
        ]  # fmt: skip
        left = some.train_images.double() / 255
        assert some.mean.item() == pytest.approx(left.mean().item(), rel=1e-5)
        assert torch.equal(some.test_images, data.test_images)

    def test_held_out_images_are_of_these(self, data: Dataset) -> None:
        run = TrainingRun(config(training_images=40), data)
        some = set(shade_of(training_part(data, 40, 0)[0].train_images))
        assert len(run.dataset.train_labels) == 30
        assert set(shade_of(run.dataset.train_images)) < some
        held = dataclasses.replace(data, train_images=run.dataset.train_images)
        assert len(some - set(shade_of(held.train_images))) == 10

    def test_all_of_them_are_the_data_set(self, data: Dataset) -> None:
        assert training_part(data, 60, 0)[0] is data

    def test_more_than_there_are(self, data: Dataset) -> None:
        with pytest.raises(DatasetError, match=r"training_images 61 of data set .*: it has 60"):
            training_part(data, 61, 0)

    def test_a_class_that_would_be_missing(self, data: Dataset) -> None:
        with pytest.raises(DatasetError, match=r"training_images 1 of .*, which has 60, cannot"):
            training_part(data, 1, 0)


class TestTraining:
    def test_nothing_learns_from_the_held_out_images(self, data: Dataset) -> None:
        run = TrainingRun(config(epochs=1), data)
        seen: list[Tensor] = []
        run.model.register_forward_pre_hook(
            lambda model, inputs: seen.append(inputs[0]) if model.training else None
        )
        counts: list[int] = []
        run.run_epoch(counts.append)
        rest, (held, _) = training_part(data, None, 0.25)
        assert sum(counts) == len(rest.train_labels) == 45
        left = normalize(rest.train_images, rest.mean, rest.std)
        assert torch.cat(seen)[:, 0, 0, 0].sort().values.tolist() == pytest.approx(
            left[:, 0, 0, 0].sort().values.tolist()
        )
        # Other held-out images: the same network, to the last bit.
        other = dataclasses.replace(data, train_images=data.train_images.clone())
        position = [shade_of(data.train_images).index(shade) for shade in shade_of(held)]
        other.train_images[position] = 255 - other.train_images[position]
        again = TrainingRun(config(epochs=1), other)
        result = again.run_epoch()
        for name, weight in run.model.state_dict().items():
            assert torch.equal(weight, again.model.state_dict()[name]), name
        assert result.validation_loss != run.history[0].validation_loss

    def test_its_numbers_are_the_networks(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        result = run.run_epoch()
        rest, (images, labels) = training_part(data, None, 0.25)
        with torch.no_grad():
            logits = run.model.eval()(normalize(images, rest.mean, rest.std))
        assert result.validation_loss == pytest.approx(
            F.cross_entropy(logits, labels).item(), rel=1e-5
        )
        hits = (logits.argmax(1) == labels).float().mean().item()
        assert result.validation_accuracy == pytest.approx(hits)
        told = result.metrics()
        assert told["validation_loss"] == result.validation_loss
        assert told["validation_accuracy"] == result.validation_accuracy

    def test_spike_rates_are_of_the_test_set_alone(self, data: Dataset) -> None:
        keys = {"architecture": "snn", "norm": "bntt", "num_steps": 2, "epochs": 1}
        with_held_out = TrainingRun(config(**keys), data)
        result = with_held_out.run_epoch()
        rest, _ = training_part(data, None, 0.25)
        without = TrainingRun(config(**keys, validation_fraction=0), rest)
        assert without.run_epoch().spike_rates == result.spike_rates

    def test_seeds_share_the_split(self, data: Dataset) -> None:
        first, second = (TrainingRun(config(seed=seed), data) for seed in (1, 2))
        assert torch.equal(first.dataset.train_images, second.dataset.train_images)


class TestSelection:
    def measured(self, epoch: int, validation: float, test: float) -> EpochResult:
        return EpochResult(epoch, 1.0, 1.0, 1.0, test, 1.0, 1.0, 1.0, validation)

    def test_the_best_epoch_is_that_of_the_held_out_images(self, data: Dataset) -> None:
        run = TrainingRun(config(), data)
        run.history = [
            self.measured(1, 0.7, 0.9), self.measured(2, 0.8, 0.6), self.measured(3, 0.8, 0.95)
        ]  # fmt: skip
        assert run.best == run.history[1]

    def test_the_test_set_does_not_decide_on_a_collapse(self, data: Dataset) -> None:
        run = TrainingRun(config(epochs=3, validation_fraction=0.5), data)
        chance = [dataclasses.replace(self.measured(n, 0.5, 1.0), train_accuracy=0.5)
                  for n in (1, 2, 3)]  # fmt: skip
        run.history = chance
        assert run.outcome == "collapsed"
        run.history = [dataclasses.replace(one, validation_accuracy=1.0) for one in chance]
        assert run.outcome == "completed"

    def test_a_loss_that_is_not_finite_is_a_divergence(self, data: Dataset) -> None:
        run = TrainingRun(config(epochs=3), data)
        run.history = [dataclasses.replace(self.measured(1, 0.9, 0.9), validation_loss=math.inf)]
        assert run.outcome == "diverged"
        assert run.best is None
