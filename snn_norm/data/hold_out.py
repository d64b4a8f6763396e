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
    """Apply :func:`only_some` and then :func:`hold_out` to a data set, as a configuration asks.

    Args:
        dataset: a whole data set.
        training_images: the number of training images to use; None for all.
        validation_fraction: the fraction of these to hold out; 0 for none.

    Returns:
        The data set, and the images and labels that are held out of it, if any.
    """
    if training_images is not None:
        dataset = only_some(dataset, training_images)
    if not validation_fraction:
        return dataset, None
    rest, images, labels = hold_out(dataset, validation_fraction)
    return rest, (images, labels)


def hold_out(dataset: Dataset, fraction: float) -> tuple[Dataset, Tensor, Tensor]:
    """Take a fraction of the training images out of a data set, each class in proportion.

    It uses scikit-learn's ``train_test_split`` with ``random_state=0``, stratified, so the images
    that are held out depend only on the labels and the fraction; their number is rounded up. Mean
    and standard deviation become those of the remaining images, so that no information about the
    others enters the training.

    Returns:
        The data set without them; their images, uint8 (N, C, H, W) or (N, T, C, H, W); their
        labels, int64 (N,).
        All keep their order.

    Raises:
        DatasetError: a class has too few images to be in both parts.
    """
    kept, held = _split(
        dataset,
        f"validation_fraction {fraction:g} of the {len(dataset.train_labels)} training images of "
        f"data set {dataset.name!r} cannot be held out with every class in both parts",
        "Set another fraction, or 0: the test set then selects the epoch",
        test_size=fraction,
    )
    return _with(dataset, kept), dataset.train_images[held], dataset.train_labels[held]


def only_some(dataset: Dataset, count: int) -> Dataset:
    """Keep only ``count`` of a data set's training images, each class in proportion.

    As in :func:`hold_out`, the choice depends only on the labels and the count. Mean and standard
    deviation become those of the images that are kept.

    Raises:
        DatasetError: there are fewer images, or a class has too few to be in both parts.
    """
    total = len(dataset.train_labels)
    what = f"training_images {count} of data set {dataset.name!r}"
    if count > total:
        raise DatasetError(f"{what}: it has {total}; set at most that many, or leave the key out")
    if count == total:
        return dataset
    kept, _ = _split(
        dataset,
        f"{what}, which has {total}, cannot be taken with every class among them and among the "
        "others",
        "Set another number, or leave the key out for all",
        train_size=count,
    )
    return _with(dataset, kept)


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
