"""A data set and trials that take next to no time, so that what is left is bookkeeping."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from orchestration import SweepSpec

__all__ = ["blobs", "trivial_spec"]

EPOCHS = 3


def blobs(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG001
    """16 training and 16 test images of 8×8, of two classes, dark and bright."""
    labels = torch.arange(16) % 2
    noise = torch.randint(0, 120, (16, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    images = (noise + 120 * labels[:, None, None, None]).to(torch.uint8)
    return images, labels, images, labels


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
