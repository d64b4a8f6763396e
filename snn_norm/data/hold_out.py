"""Which training images train: a part of them alone, or all but some that choose the epoch.

Each split is one and the same for all seeds. So a seed decides the initial weights, the order and
the augmentation and nothing else, its numbers can be paired with those of another network, and a
standard deviation over seeds means what it means without held-out images. It does not tell, then,
how much another split would change.
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
    """What a configuration trains on: :func:`only_some` of a data set, without :func:`hold_out`'s.

    Args:
        dataset: a whole data set.
        training_images: so many of its training images; None is all.
        validation_fraction: of these, held out; 0 is none.

    Returns:
        The data set, and the images and labels that are held out of it, if any.

    Raises:
        DatasetError: as the two.
    """
    if training_images is not None:
        dataset = only_some(dataset, training_images)
    if not validation_fraction:
        return dataset, None
    rest, images, labels = hold_out(dataset, validation_fraction)
    return rest, (images, labels)


def hold_out(dataset: Dataset, fraction: float) -> tuple[Dataset, Tensor, Tensor]:
    """Take a fraction of the training images out of a data set, each class in proportion.

    scikit-learn's ``train_test_split`` with ``random_state=0``, stratified: which images are held
    out depends on the labels and the fraction alone. Mean and standard deviation become those of
    the images that are left, so nothing of the others reaches the training.

    Args:
        dataset: a whole data set.
        fraction: of its training images, above 0 and below 1; rounded up to whole images.

    Returns:
        The data set without them; their images, uint8 (N, C, H, W) or (N, T, C, H, W); their
        labels, int64 (N,).
        All keep the order they had.

    Raises:
        DatasetError: a class has too few images to be in both parts.
    """
    try:
        kept, held = _split(dataset.train_labels, test_size=fraction)
    except ValueError as error:
        raise DatasetError(
            f"validation_fraction {fraction:g} of the {len(dataset.train_labels)} training images "
            f"of data set {dataset.name!r} cannot be held out with every class in both parts: "
            f"{error} Set another fraction, or 0: the test set then selects the epoch"
        ) from error
    return _with(dataset, kept), dataset.train_images[held], dataset.train_labels[held]


def only_some(dataset: Dataset, count: int) -> Dataset:
    """Leave so many of a data set's training images, each class in proportion.

    Chosen as :func:`hold_out` chooses: by the labels and the count alone. Mean and standard
    deviation become theirs.

    Raises:
        DatasetError: there are fewer, or a class has too few to be in both parts.
    """
    total = len(dataset.train_labels)
    what = f"training_images {count} of data set {dataset.name!r}"
    if count > total:
        raise DatasetError(f"{what}: it has {total}; set at most that many, or leave the key out")
    if count == total:
        return dataset
    try:
        kept, _ = _split(dataset.train_labels, train_size=count)
    except ValueError as error:
        raise DatasetError(
            f"{what}, which has {total}, cannot be taken with every class among them and among "
            f"the others: {error} Set another number, or leave the key out for all"
        ) from error
    return _with(dataset, kept)


def _split(labels: Tensor, **sizes: float) -> tuple[Tensor, Tensor]:
    """The places of both parts, each in the order of the data set."""
    from sklearn.model_selection import train_test_split

    places = range(len(labels))
    parts = train_test_split(places, random_state=0, stratify=labels.cpu().numpy(), **sizes)
    first, second = (torch.tensor(sorted(part), device=labels.device) for part in parts)
    return first, second


def _with(dataset: Dataset, kept: Tensor) -> Dataset:
    """The data set with these training images alone, and their mean and standard deviation."""
    images, device = dataset.train_images[kept], dataset.train_labels.device
    mean, std = channel_statistics(images)
    return dataclasses.replace(
        dataset,
        train_images=images,
        train_labels=dataset.train_labels[kept],
        mean=mean.to(device),
        std=std.to(device),
    )
