"""Trials that take next to no time, or only wait, so that what is left is bookkeeping."""

from __future__ import annotations

import time
from pathlib import Path

import torch
from torch import Tensor, nn

from orchestration import SweepSpec

EPOCHS = 3
SLEPT = 4.5
"""How many seconds a trial of `sleeping_spec` sleeps: in its epochs, and in the diagnostics before
the first epoch and after each."""

_PASSES = 6 * (EPOCHS + EPOCHS + 1)  # 6 layers


def blobs(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG001
    """16 training and 16 test images of 8×8, of two classes, dark and bright."""
    labels = torch.arange(16) % 2
    noise = torch.randint(0, 120, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (noise + 120 * labels[:, None, None, None]).to(torch.uint8)
    return images, labels, images, labels


class Sleeping(nn.Module):
    """Normalizes nothing, and sleeps in each pass of the training and of diagnostics."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, x: Tensor) -> Tensor:
        """What it is given, later."""
        if self.training:
            time.sleep(SLEPT / _PASSES)
        return x


def trivial_spec(trials: int) -> SweepSpec:
    """A sweep of so many trials, half of them without normalization."""
    return SweepSpec.from_dict(
        {
            "name": f"trivial {trials}",
            "dataset": "benchmarks.trivial:blobs",
            "epochs": EPOCHS,
            "seeds": list(range(trials // 2)),
            "grid": [{"architecture": "ann", "norm": ["none", "homeostatic"], "width": 2}],
        }
    )


def sleeping_spec(trials: int) -> SweepSpec:
    """A sweep of so many trials that sleep."""
    return SweepSpec.from_dict(
        {
            "name": f"sleeping {trials}",
            "dataset": "benchmarks.trivial:blobs",
            "epochs": EPOCHS,
            "seeds": list(range(trials)),
            "grid": [
                {"architecture": "ann", "norm": "benchmarks.trivial:Sleeping", "width": 2},
            ],
        }
    )
