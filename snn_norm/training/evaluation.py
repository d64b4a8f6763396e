"""A network on uint8 images: logits, and loss and accuracy over a set of images.

Training and the use of a trained network share this code, so that on a CPU the same weights yield
the same numbers to the last digit. Shapes: N images, C channels, K classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from snn_norm.data.dataset import batches, normalize


def logits_of(
    network: nn.Module,
    images_NCHW: Tensor,
    mean: Tensor,
    std: Tensor,
    precision: Literal["float32", "bf16"],
) -> Tensor:
    """The network's forward pass.

    Args:
        network: a network of normalized images.
        images_NCHW: uint8 images, or sequences (N, T, C, H, W).
        mean, std: float32 (C,), of the training images, scaled to 0..1.
        precision: bf16 computes only convolutions and linear layers (the logits too) in bfloat16.

    Returns:
        Logits (N, K), in float32 at least.
    """
    bf16 = precision == "bf16"
    x_NCHW = normalize(images_NCHW, mean, std)
    with torch.autocast(x_NCHW.device.type, torch.bfloat16, enabled=bf16):
        logits_NK: Tensor = network(x_NCHW)
    return logits_NK.float() if bf16 else logits_NK


@torch.no_grad()
def evaluate(
    logits_NK_of: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, batch_size: int
) -> tuple[float, float]:
    """Return the mean cross-entropy in nats per image, and the accuracy as a fraction.

    Args:
        logits_NK_of: returns the logits of a batch of images.
        images: uint8 (N, C, H, W) or (N, T, C, H, W), N at least 1.
        labels: int64 (N,), on the device of the images.
        batch_size: number of images in a batch.
    """
    sums = Sums(labels.device)
    for images_NCHW, labels_N in batches(images, labels, batch_size):
        logits_NK = logits_NK_of(images_NCHW)
        sums.add(F.cross_entropy(logits_NK, labels_N), logits_NK, labels_N)
    return sums.means()


class Sums:
    """Loss and accuracy over batches, summed on the device: one synchronization per epoch."""

    def __init__(self, device: torch.device) -> None:
        self._loss = torch.zeros((), device=device)
        self._correct = torch.zeros((), device=device, dtype=torch.long)
        self.images = 0
        """How many images have been added."""

    def add(self, loss: Tensor, logits_NK: Tensor, labels_N: Tensor) -> None:
        """Add a batch: its mean loss, its logits (N, K) and its labels (N,)."""
        self._loss += loss * len(labels_N)
        self._correct += (logits_NK.argmax(1) == labels_N).sum()
        self.images += len(labels_N)

    def means(self) -> tuple[float, float]:
        """Mean loss, and accuracy as a fraction."""
        return float(self._loss) / self.images, float(self._correct) / self.images

    def state_dict(self) -> dict[str, Any]:
        """The sums, which another process can go on with."""
        return {"loss": self._loss, "correct": self._correct, "images": self.images}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a :meth:`state_dict`."""
        self._loss.copy_(state["loss"])
        self._correct.copy_(state["correct"])
        self.images = state["images"]
