"""The names that a configuration may give, and what is known of them without loading anything.

Nothing here imports torch, so that a spec is checked, and a table of results printed, without it.
"""

from __future__ import annotations

import dataclasses

__all__ = ["DATASETS", "NORMS", "DatasetInfo"]


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

NORMS: dict[str, tuple[str, ...]] = {
    "ann": ("none", "batchnorm", "homeostatic"),
    "snn": ("none", "bntt", "homeostatic"),
}
"""The norms of each architecture; :mod:`snn_norm.norms` makes them."""
