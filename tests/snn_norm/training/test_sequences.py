from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, DatasetError, load_dataset
from snn_norm.training.run import TrainingRun

STEPS = 3


@pytest.fixture(scope="module")
def images() -> Dataset:
    digits = load_dataset("digits", Path("/nowhere"), image_size=8)
    parts = {part: getattr(digits, part)[:64] for part in vars(digits) if part.startswith("t")}
    return dataclasses.replace(digits, **parts)


@pytest.fixture(scope="module")
def still(images: Dataset) -> Dataset:
    """The images as sequences in which nothing moves."""
    halves = {
        part: getattr(images, part).unsqueeze(1).repeat(1, STEPS, 1, 1, 1)
        for part in ("train_images", "test_images")
    }
    return dataclasses.replace(images, **halves)


def run(data: Dataset, **keys: object) -> TrainingRun:
    config = {"architecture": "snn", "norm": "bntt", "num_steps": STEPS, "width": 4} | keys
    fixed = {"dataset": "digits", "seed": 1, "epochs": 2, "batch_size": 16, "image_size": 8}
    return TrainingRun(RunConfig(**fixed, **config, augment=True, validation_fraction=0.5), data)


def test_a_sequence_in_which_nothing_moves_trains_like_its_image(
    images: Dataset, still: Dataset
) -> None:
    curves = [list(run(data).epochs()) for data in (images, still)]
    for image, sequence in zip(*curves, strict=True):
        assert sequence.train_loss == pytest.approx(image.train_loss, rel=1e-3)
        assert sequence.validation_loss == pytest.approx(image.validation_loss, rel=1e-2)


def test_sequences_that_do_not_fit_are_refused(still: Dataset) -> None:
    with pytest.raises(DatasetError, match="set it to 3"):
        run(still, num_steps=4)
    with pytest.raises(DatasetError, match="set architecture: snn"):
        run(still, architecture="ann", norm="none", num_steps=None)
