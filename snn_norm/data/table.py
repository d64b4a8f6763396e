"""The packaged data sets, and what is known of each before it is loaded; imports no torch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """What is known of a data set before it is loaded.

    Args:
        image_size: height and width in pixels unless another size is asked for.
        augment: whether training crops and flips unless told otherwise.
        channels: of an image.
        classes: how many.
    """

    image_size: int
    augment: bool
    channels: int
    classes: int


DATASETS: dict[str, DatasetInfo] = {
    "digits": DatasetInfo(image_size=16, augment=False, channels=1, classes=10),
    "mnist": DatasetInfo(image_size=28, augment=False, channels=1, classes=10),
    "fashion-mnist": DatasetInfo(image_size=28, augment=False, channels=1, classes=10),
    "cifar10": DatasetInfo(image_size=32, augment=True, channels=3, classes=10),
    "cifar100": DatasetInfo(image_size=32, augment=True, channels=3, classes=100),
}
