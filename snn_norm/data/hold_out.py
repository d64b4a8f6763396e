"""Training images that are held out of the training, so that they and not the test set choose.

The split is one and the same for all seeds. So a seed decides the initial weights, the order and
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

__all__ = ["hold_out"]


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
    from sklearn.model_selection import train_test_split

    images, labels = dataset.train_images, dataset.train_labels
    try:
        parts = train_test_split(
            range(len(labels)), test_size=fraction, random_state=0, stratify=labels.cpu().numpy()
        )
    except ValueError as error:
        raise DatasetError(
            f"validation_fraction {fraction:g} of the {len(labels)} training images of data set "
            f"{dataset.name!r} cannot be held out with every class in both parts: {error} "
            "Set another fraction, or 0: the test set then selects the epoch"
        ) from error
    kept, held = (torch.tensor(sorted(part), device=labels.device) for part in parts)
    mean, std = channel_statistics(images[kept])
    rest = dataclasses.replace(
        dataset,
        train_images=images[kept],
        train_labels=labels[kept],
        mean=mean.to(labels.device),
        std=std.to(labels.device),
    )
    return rest, images[held], labels[held]
