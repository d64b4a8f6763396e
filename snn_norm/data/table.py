"""The packaged data sets, and what is known of each before it is loaded; imports no torch."""

from __future__ import annotations

import dataclasses

__all__ = ["DATASETS", "DatasetInfo"]


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is loaded.

    Args:
        image_size: height and width in pixels unless another size is asked for.
        augment: whether training crops and flips unless told otherwise.
    """

    image_size: int
    augment: bool


DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(image_size=16, augment=False),
    "mnist": DatasetInfo(image_size=28, augment=False),
    "fashion-mnist": DatasetInfo(image_size=28, augment=False),
    "cifar10": DatasetInfo(image_size=32, augment=True),
    "cifar100": DatasetInfo(image_size=32, augment=True),
}
