"""The properties of the packaged data sets before they are loaded; imports no torch."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class DatasetInfo:
    """The properties of a data set before it is loaded.

    Args:
        image_size: default height and width in pixels.
        augment: default for whether training crops and flips.
        channels: the number of channels of an image.
        classes: the number of classes.
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
