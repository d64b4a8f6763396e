"""Where a data set's tensors come from: the offline digits, and the user's own function.

The data sets that must be downloaded are in :mod:`snn_norm.data.downloads`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from snn_norm.references import check_call, load_reference

__all__ = ["DatasetError", "Tensors", "load_digits", "load_own"]

Tensors: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Training images, training labels, test images, test labels."""

_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


class DatasetError(ValueError):
    """A data set cannot be had, or is not what a data set must be."""


def load_digits() -> Tensors:
    """scikit-learn's 1,797 scanned digits, 8x8 pixels in 17 shades of grey.

    The split is fixed: scikit-learn's ``train_test_split`` with ``random_state=0``, stratified,
    20 % for the test (1,437 and 360 images). It does not depend on a trial's seed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    digits = load_digits()
    images = torch.from_numpy(digits.images).mul(255 / 16).round().to(torch.uint8).unsqueeze(1)
    labels = torch.from_numpy(digits.target).long()
    train, test = train_test_split(
        range(len(labels)), test_size=0.2, random_state=0, stratify=digits.target
    )
    return images[train], labels[train], images[test], labels[test]


def load_own(name: str, root: Path) -> Tensors:
    """Call the user's ``package.module:function`` with ``root`` and check what it returns.

    What the function itself raises comes through as it is.

    Raises:
        DatasetError: there is no such function, or it returns something else than
            uint8 (N, C, H, W) images with H = W and int64 (N,) labels from 0, twice.
    """
    try:
        check_call(name, root)
    except ValueError as error:
        raise DatasetError(f"data set {name!r}: {error}") from error
    returned = load_reference(name)(root)
    if not isinstance(returned, (tuple, list)) or len(returned) != len(_PARTS):
        got = type(returned).__name__
        if isinstance(returned, (tuple, list)):
            got += f" of {len(returned)}"
        raise DatasetError(
            f"data set {name!r} must return four tensors ({', '.join(_PARTS)}), got a {got}"
        )
    parts = dict(zip(_PARTS, returned, strict=True))
    for part, value in parts.items():
        _check_tensor(name, part, value)
    _check_together(name, parts)
    train_images, train_labels, test_images, test_labels = returned
    return train_images, train_labels, test_images, test_labels


def _check_tensor(name: str, part: str, value: object) -> None:
    """Check type, dtype, shape and range of one of the four, by itself."""
    where = f"data set {name!r}: {part}"
    if not isinstance(value, Tensor):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise DatasetError(f"{where} must be a torch.Tensor, got a {kind}")
    got = f"got {value.dtype} of shape {tuple(value.shape)}"
    if part.endswith("images"):
        if value.dtype != torch.uint8 or value.dim() != 4:
            raise DatasetError(f"{where} must be torch.uint8 of shape (N, C, H, W), {got}")
        if value.shape[2] != value.shape[3]:
            raise DatasetError(
                f"{where} must be square (H = W), {got}: crop, pad or resize them in the function"
            )
    elif value.dtype != torch.int64 or value.dim() != 1:
        raise DatasetError(f"{where} must be torch.int64 of shape (N,), {got}")
    if value.numel() == 0:
        raise DatasetError(f"{where} must not be empty, {got}")
    if part.endswith("labels") and (least := int(value.min())) < 0:
        raise DatasetError(f"{where} must number the classes from 0, got the label {least}")


def _check_together(name: str, parts: dict[str, Tensor]) -> None:
    """Check that the four fit each other."""
    for half in ("train", "test"):
        images, labels = parts[f"{half}_images"], parts[f"{half}_labels"]
        if len(images) != len(labels):
            raise DatasetError(
                f"data set {name!r}: {half}_labels must have one label for each of the "
                f"{len(images)} {half}_images, got {len(labels)}"
            )
    train, test = (tuple(parts[f"{half}_images"].shape[1:]) for half in ("train", "test"))
    if train != test:
        raise DatasetError(
            f"data set {name!r}: test_images must have the (C, H, W) of train_images, {train}, "
            f"got {test}"
        )
