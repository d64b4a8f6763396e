"""Selects the images that are trained on, and those held out to choose the best epoch.

Each split is the same for all seeds. So a seed determines only the initial weights, the order and
the augmentation, its results can be paired with those of another network, and a standard deviation
over seeds has the same meaning as without held-out images. It therefore does not include the
variation between splits.
"""

from __future__ import annotations

import dataclasses

import torch
from torch import Tensor

from snn_norm.data.dataset import Dataset, channel_statistics
from snn_norm.data.local import DatasetError


def training_part(
    dataset: Dataset, training_images: int | None, validation_fraction: float
) -> tuple[Dataset, tuple[Tensor, Tensor] | None]:
    """Keep some of a data set's training images, and hold out a fraction of these.

    Each class keeps its proportion. The choice is that of scikit-learn's ``train_test_split`` with
    ``random_state=0``, stratified, so it depends only on the labels and the two numbers. Mean and
    standard deviation become those of the images to train on, so that no information about the
    others enters the training. All images keep their order.

    Args:
        dataset: a whole data set.
        training_images: the number of training images to keep; None for all.
        validation_fraction: the fraction of these to hold out, below 1; the number of images is
            rounded up. 0 for none.

    Returns:
        The data set without the others; and of those held out, if any, the images, uint8
        (N, C, H, W) or (N, T, C, H, W), and the labels, int64 (N,).

    Raises:
        DatasetError: there are fewer images, or a class has too few to be in both parts.
    """
    total = len(dataset.train_labels)
    if training_images is not None and training_images != total:
        what = f"training_images {training_images} of data set {dataset.name!r}"
        if training_images > total:
            raise DatasetError(
                f"{what}: it has {total}; set at most that many, or leave the key out"
            )
        kept, _ = _split(
            dataset,
            f"{what}, which has {total}, cannot be taken with every class among them and among the "
            "others",
            "Set another number, or leave the key out for all",
            train_size=training_images,
        )
        dataset = _with(dataset, kept)
    if not validation_fraction:
        return dataset, None
    kept, held = _split(
        dataset,
        f"validation_fraction {validation_fraction:g} of the {len(dataset.train_labels)} training "
        f"images of data set {dataset.name!r} cannot be held out with every class in both parts",
        "Set another fraction, or 0: the test set then selects the epoch",
        test_size=validation_fraction,
    )
    return _with(dataset, kept), (dataset.train_images[held], dataset.train_labels[held])


def _split(dataset: Dataset, refused: str, way_out: str, **sizes: float) -> tuple[Tensor, Tensor]:
    """The indices of the training images of both parts, each in the order of the data set."""
    from sklearn.model_selection import train_test_split

    labels = dataset.train_labels
    stratify = labels.cpu().numpy()
    try:
        parts = train_test_split(range(len(labels)), random_state=0, stratify=stratify, **sizes)
    except ValueError as error:
        raise DatasetError(f"{refused}: {error} {way_out}") from error
    first, second = (torch.tensor(sorted(part), device=labels.device) for part in parts)
    return first, second


def _with(dataset: Dataset, kept: Tensor) -> Dataset:
    """The data set with only these training images, and their mean and standard deviation."""
    images, device = dataset.train_images[kept], dataset.train_labels.device
    mean, std = channel_statistics(images)
    return dataclasses.replace(
        dataset,
        train_images=images,
        train_labels=dataset.train_labels[kept],
        mean=mean.to(device),
        std=std.to(device),
    )
