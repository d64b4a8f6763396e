"""Runs of a moment: a data set of stripes, a user's norm and networks, and what compares runs."""

from __future__ import annotations

import dataclasses
import io
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from snn_norm.config import RunConfig
from snn_norm.training.epoch import EpochResult
from snn_norm.training.run import TrainingRun

TRAIN, TEST, BATCH = 44, 13, 8


def stripes(root: Path) -> tuple[Tensor, ...]:
    """A data set of this test: noisy images whose label is the half that is bright."""
    del root
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(TRAIN + TEST) % 2
    images = torch.randint(0, 120, (TRAIN + TEST, 1, 8, 8), generator=generator)
    images[labels == 0, :, :4] += 100
    images[labels == 1, :, 4:] += 100
    images = images.to(torch.uint8)
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]


class Noisy(nn.Module):
    """A user's norm that draws from every global generator."""

    def __init__(self, num_features: int, num_steps: int | None = None) -> None:
        super().__init__()
        del num_steps
        self.weight = nn.Parameter(torch.ones(num_features))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        noise = torch.randn(()) + np.random.randn() + random.gauss(0, 1)
        return x * (1 + 0.1 * noise) * self.weight[:, None, None]


class Fading(nn.Module):
    """A user's network that learns, until it has seen so many training batches: then, nothing."""

    def __init__(self, *, in_channels: int, image_size: int, num_classes: int, **_: Any) -> None:
        super().__init__()
        self.classifier = nn.Linear(in_channels * image_size**2, num_classes)
        self.register_buffer("batches_left", torch.tensor(self.lasts * math.ceil(TRAIN / BATCH)))

    lasts = 2
    """Epochs."""

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(x.flatten(1))
        alive = self.batches_left > 0
        if self.training:
            self.batches_left -= 1
        return logits * alive


class NeverLearning(Fading):
    lasts = 0


def config(**changes: Any) -> RunConfig:
    keys: dict[str, Any] = {
        "architecture": "ann",
        "norm": "homeostatic",
        "dataset": f"{__name__}:stripes",
        "epochs": 3,
        "seed": 42,
        "batch_size": BATCH,
        "learning_rate": 0.01,
    }
    if changes.get("architecture", "ann") in ("ann", "snn"):
        keys["width"] = 2
    if changes.get("architecture") == "snn":
        keys |= {"width": 4, "num_steps": 4}
    return RunConfig(**{**keys, **changes})


def numbers(run: TrainingRun) -> list[EpochResult]:
    """What it measured, without the times."""
    untimed = {"images_per_second": 0.0, "epoch_seconds": 0.0}
    return [dataclasses.replace(result, **untimed) for result in run.history]


def through_a_file(state: dict[str, Any]) -> dict[str, Any]:
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    loaded: dict[str, Any] = torch.load(file, weights_only=True)
    return loaded


def assert_bit_for_bit(ours: TrainingRun, theirs: TrainingRun) -> None:
    assert numbers(ours) == numbers(theirs)
    for part in ("model", "optimizer", "scheduler"):
        torch.testing.assert_close(
            ours.state_dict()[part], theirs.state_dict()[part], rtol=0, atol=0
        )
