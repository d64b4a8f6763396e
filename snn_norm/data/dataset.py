"""Data sets as whole tensors, which are stored and augmented on the training device.

Images stay uint8 until a batch is normalized: they need a quarter of the memory of floats, and no
worker processes.

Shapes: N images, T time steps, C channels, H height, W width. If a sample is a sequence, such as
event frames, images are (N, T, C, H, W).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.data.local import DatasetError, load_digits, load_own
from snn_norm.data.table import DATASETS
from snn_norm.references import is_reference


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A whole data set.

    Args:
        name: a key of ``DATASETS``, or ``package.module:function``.
        train_images: uint8 (N, C, H, W), or (N, T, C, H, W) for sequences; H = W.
        train_labels: int64 (N,), from 0.
        test_images: test images, in the form of the training images.
        test_labels: test labels, in the form of the training labels.
        num_classes: the largest label of both splits, plus one.
        mean: float32 (C,), the mean of the training images scaled to 0..1.
        std: float32 (C,), their standard deviation; at least one grey level, so that a constant
            channel can be divided by it.
    """

    name: str
    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int
    mean: Tensor
    std: Tensor

    @property
    def in_channels(self) -> int:
        """The number of channels of an image."""
        return self.train_images.shape[-3]

    @property
    def image_size(self) -> int:
        """Height and width of an image, in pixels."""
        return self.train_images.shape[-1]

    @property
    def num_steps(self) -> int | None:
        """Time steps T of a sequence; None if a sample is a single image."""
        return self.train_images.shape[1] if self.train_images.dim() == 5 else None

    def check_fits(self, architecture: str, num_steps: int | None) -> None:
        """Check that a network with these keys accepts the data set's samples.

        Args:
            architecture: ann, snn, or a user's own, for which any sample is accepted.
            num_steps: time steps; None if the key does not apply.

        Raises:
            DatasetError: the samples are sequences, and the network is artificial or has another T.
        """
        if self.num_steps is None:
            return
        what = f"data set {self.name!r} gives sequences of {self.num_steps} time steps"
        if architecture == "ann":
            raise DatasetError(
                f"{what}, which architecture ann does not take: set architecture: snn, "
                "or let the function return images (N, C, H, W)"
            )
        if num_steps not in (None, self.num_steps):
            raise DatasetError(f"{what}, got num_steps {num_steps}: set it to {self.num_steps}")

    def to(self, device: torch.device | str) -> Dataset:
        """The same data set with its tensors on ``device``."""
        tensors = {k: v for k, v in vars(self).items() if isinstance(v, Tensor)}
        moved: dict[str, Any] = {name: tensor.to(device) for name, tensor in tensors.items()}
        return dataclasses.replace(self, **moved)


def load_dataset(name: str, root: Path, image_size: int | None = None) -> Dataset:
    """Load a data set, and download it into ``root`` first if that is needed.

    The test split is fixed: the official one; for ``digits``, see
    :func:`snn_norm.data.local.load_digits`.

    Args:
        name: a key of ``DATASETS``, or a user's own ``package.module:function``, which is called
            as ``f(root)`` and returns training images, training labels, test images and test
            labels.
        root: the folder of all data sets.
        image_size: height and width in pixels to resize to (bilinear, antialiased). Default: the
            data set's size in ``DATASETS``; a user's own images stay as they are.

    Raises:
        DatasetError: the name is unknown, the data set is missing and cannot be downloaded, or
            the user's function does not return a data set.
    """
    if image_size is not None and image_size < 1:
        raise DatasetError(f"image_size must be at least 1 pixel, got {image_size}")
    if name == "digits":
        tensors = load_digits()
    elif name in DATASETS:
        from snn_norm.data.downloads import load_downloaded  # imports torchvision

        tensors = load_downloaded(name, root)
    elif is_reference(name):
        tensors = load_own(name, root)
    else:
        raise DatasetError(
            f"the data set must be one of {', '.join(DATASETS)}, or package.module:function, "
            f"got {name!r}"
        )
    train_images, train_labels, test_images, test_labels = tensors
    if image_size is None and name in DATASETS:
        image_size = DATASETS[name].image_size
    if image_size is not None:
        train_images = _resize(train_images, image_size)
        test_images = _resize(test_images, image_size)
    mean, std = channel_statistics(train_images)
    return Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        num_classes=int(torch.maximum(train_labels.max(), test_labels.max())) + 1,
        mean=mean,
        std=std,
    )


def _resize(images: Tensor, size: int) -> Tensor:
    """Resize uint8 images in parts, since they need four times the memory as floats."""
    if images.shape[-2:] == (size, size):
        return images
    resized = [
        F.interpolate(part_NCHW.float(), (size, size), mode="bilinear", antialias=True)
        .round()
        .to(torch.uint8)
        for part_NCHW in torch.split(images.flatten(0, -4), 1024)
    ]
    return torch.cat(resized).view(*images.shape[:-2], size, size)


def channel_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each channel of uint8 images scaled to 0..1; on the CPU.

    The deviation is at least one grey level, so that a constant channel can be divided by it.
    They are computed from counts of the 256 grey levels, which is exact and needs no copy of the
    images as floats.
    """
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(-3)]
    shares = torch.stack(counts).cpu().double() / counts[0].sum().item()
    mean = shares @ levels
    std = (shares * (levels - mean[:, None]).square()).sum(1).sqrt().clamp(min=1 / 255)
    return mean.float(), std.float()


def batches(
    images: Tensor,
    labels: Tensor,
    batch_size: int,
    generator: torch.Generator | None = None,
    *,
    done: int = 0,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Iterate once over a data set, on its device. The last batch may be smaller.

    Args:
        images: (N, ...).
        labels: (N,).
        batch_size: number of images in a batch.
        generator: a generator on the CPU, so that the order is the same on every device; None keeps
            the given order.
        done: the number of images, at the beginning of the order, that are left out.

    Yields:
        Images and labels of a batch.
    """
    if len(images) != len(labels):
        raise ValueError(f"each image needs a label, got {len(labels)} for {len(images)} images")
    order = None
    if generator is not None:
        order = torch.randperm(len(images), generator=generator).to(images.device)
    for first in range(done, len(images), batch_size):
        part = slice(first, first + batch_size)
        chosen = part if order is None else order[part]
        yield images[chosen], labels[chosen]


def normalize(images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
    """Scale uint8 images to 0..1, then each channel to mean 0 and standard deviation 1.

    Args:
        images: uint8 (N, C, H, W) or (N, T, C, H, W).
        mean: float32 (C,).
        std: float32 (C,).

    Returns:
        float32 images of the same shape.
    """
    scaled = images.float().div_(255)
    return scaled.sub_(mean[:, None, None]).div_(std[:, None, None])


def crop_and_flip(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shift each image by up to 4 pixels in both axes, padded with black, and mirror half of them.

    All time steps of a sequence are changed alike.

    Args:
        images: (N, C, H, W) or (N, T, C, H, W), of any dtype, on any device.
        generator: a generator on the CPU, so that a run has the same numbers on every device.

    Returns:
        Images of the same form as ``images``.
    """
    count, device = len(images), images.device
    height, width = images.shape[-2:]
    top_N, left_N = _to_device(torch.randint(0, 9, (2, count), generator=generator), device)
    mirrored_N = _to_device(torch.randint(0, 2, (count,), generator=generator).bool(), device)
    padded = F.pad(images, (4, 4, 4, 4))
    windows = padded.unfold(-2, height, 1).unfold(-2, width, 1)  # a view: every possible crop
    crops = windows[torch.arange(count, device=device), ..., top_N, left_N, :, :]
    return torch.where(mirrored_N.view(-1, *[1] * (images.dim() - 1)), crops.flip(-1), crops)


def _to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor from the CPU to the device without waiting for pending work there."""
    pinned = drawn.pin_memory() if device.type == "cuda" else drawn
    return pinned.to(device, non_blocking=True)
