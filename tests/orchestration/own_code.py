"""What a user might bring: a small data set, a slow norm, a broken one."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn


def blobs(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG001
    """64 training and 32 test images of two classes, dark and bright."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2
        noise = torch.randint(0, 120, (count, 1, 8, 8), generator=generator)
        return (noise + 120 * labels[:, None, None, None]).to(torch.uint8), labels

    return *images(64), *images(32)


def wrong_labels(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels that are no whole numbers."""
    train_images, train_labels, test_images, test_labels = blobs(root)
    return train_images, train_labels.float(), test_images, test_labels


def no_files(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Its author forgot to bring the files."""
    (root / "absent.pt").read_bytes()
    return blobs(root)


class SlowNorm(nn.BatchNorm2d):
    """Batch normalization that takes its time, so that a test can strike in the middle."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.03)
        return super().forward(x)


class BrokenNorm(nn.Module):
    """Fails where its author made a mistake."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features + 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]
