"""What counts as no better than the best constant prediction."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import Tensor

from snn_norm.data.dataset import load_dataset
from snn_norm.training.chance import chance_accuracy


def labels_of(*counts: int) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))


@pytest.mark.parametrize("counts", [(60, 40), (36,) * 10, (5000,) * 10, (700, 200, 100)])
def test_the_largest_count_of_hits_that_luck_explains(counts: tuple[int, ...]) -> None:
    images = sum(counts)
    hits = round(chance_accuracy(labels_of(*counts)) * images)
    guesses = stats.binom(images, max(counts) / images)
    assert guesses.sf(hits) < stats.norm.sf(3) <= guesses.sf(hits - 1)


def test_it_is_near_three_deviations_for_digits() -> None:
    data = load_dataset("digits", Path())
    for labels in (data.train_labels, data.test_labels):
        share = int(labels.bincount().max()) / len(labels)
        before = share + 3 * math.sqrt(share * (1 - share) / len(labels))
        assert before <= chance_accuracy(labels) <= before + 0.007


@pytest.mark.parametrize(
    "counts", [(95, 5), (999, 1), (1, 1), (2, 2), (3, 1), (1,) * 10, (19, 1), (500, 2)]
)
def test_a_perfect_network_is_better_however_few_or_unbalanced_the_labels(
    counts: tuple[int, ...],
) -> None:
    labels = labels_of(*counts)
    assert max(counts) / len(labels) <= chance_accuracy(labels) < 1


@pytest.mark.parametrize("counts", [(95, 5), (999, 1), (1, 1), (3, 1), (500, 2), (90, 30)])
def test_half_of_the_errors_are_enough(counts: tuple[int, ...]) -> None:
    labels, largest = labels_of(*counts), max(counts)
    errors = len(labels) - largest
    assert chance_accuracy(labels) < (largest + math.ceil(errors / 2)) / len(labels)


@pytest.mark.parametrize("images", [1, 7, 400])
def test_with_a_single_class_no_network_is_at_chance(images: int) -> None:
    assert chance_accuracy(labels_of(images)) < 0
    assert chance_accuracy(labels_of(0, images)) < 0


def test_guessing_seldom_exceeds_it() -> None:
    labels = torch.randint(0, 10, (1000,), generator=torch.Generator().manual_seed(0))
    guesses = torch.randint(0, 10, (500, 1000), generator=torch.Generator().manual_seed(1))
    accuracies = (guesses == labels).double().mean(1)
    assert (accuracies > chance_accuracy(labels)).double().mean() < 0.01
    assert chance_accuracy(labels) < 0.16
