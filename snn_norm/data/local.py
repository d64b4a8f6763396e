"""Data sets that need no download: the digits, and those of a user's own function.

Those that must be downloaded are in :mod:`snn_norm.data.downloads`.
"""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from snn_norm.imports import is_users_own
from snn_norm.references import check_call, load_reference

Tensors: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""Training images, training labels, test images, test labels."""

_MOST_CLASSES = 100_000
"""With more classes, the labels are more likely to be wrong than the data set to be that large."""

_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


class DatasetError(ValueError):
    """A data set is not available, or does not have the required form."""


def load_digits() -> Tensors:
    """scikit-learn's 1,797 scanned digits, 8x8 pixels in 17 shades of grey.

    The split is fixed and does not depend on a trial's seed: scikit-learn's ``train_test_split``
    with ``random_state=0``, stratified, 20 % for the test (1,437 and 360 images). The file beside
    this one has the result, as importing scikit-learn takes a second.

    The images are those of "Optical Recognition of Handwritten Digits" (Alpaydin and Kaynak, 1998,
    UCI Machine Learning Repository, https://doi.org/10.24432/C50P49, CC BY 4.0).
    """
    with np.load(Path(__file__).with_name("digits.npz")) as stored:
        images, labels, test_images, test_labels = (torch.from_numpy(stored[p]) for p in _PARTS)
    return images, labels.long(), test_images, test_labels.long()


def load_own(name: str, root: Path) -> Tensors:
    """Call the user's ``package.module:function`` with ``root`` and check what it returns.

    Raises:
        DatasetError: there is no such function, it raises (that exception is the cause) or exits
            the process, or its result is not, twice, uint8 (N, C, H, W) images or (N, T, C, H, W)
            sequences with H = W and int64 (N,) labels from 0.
    """
    try:
        check_call(name, root)
    except ValueError as error:
        raise DatasetError(f"data set {name!r}: {error}") from error
    try:
        returned = load_reference(name)(root)
    except (MemoryError, torch.OutOfMemoryError):
        raise  # a fault of the machine, after which a sweep retries
    except (Exception, SystemExit) as error:
        message = f"{type(error).__name__}: {error}".removesuffix(": ")
        raise DatasetError(f"data set {name!r} raised {message}{_place(error)}") from error
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


def _place(error: BaseException) -> str:
    """The line of the user's own code that raised."""
    frames = traceback.extract_tb(error.__traceback__)[1:]
    files = [(Path(frame.filename), frame.lineno) for frame in frames]
    own = [(path, line) for path, line in files if path.is_file() and is_users_own(path)]
    return f" ({own[-1][0].name}, line {own[-1][1]})" if own else ""


def _check_tensor(name: str, part: str, value: object) -> None:
    """Check type, dtype, shape and range of one of the four tensors by itself."""
    where = f"data set {name!r}: {part}"
    if not isinstance(value, Tensor):
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        raise DatasetError(f"{where} must be a torch.Tensor, got a {kind}")
    got = f"got {value.dtype} of shape {tuple(value.shape)}"
    if part.endswith("images"):
        if value.dtype != torch.uint8 or value.dim() not in (4, 5):
            raise DatasetError(
                f"{where} must be torch.uint8 of shape (N, C, H, W), "
                f"or (N, T, C, H, W) for sequences, {got}"
            )
        if value.shape[-2] != value.shape[-1]:
            raise DatasetError(
                f"{where} must be square (H = W), {got}: crop, pad or resize them in the function"
            )
    elif value.dtype != torch.int64 or value.dim() != 1:
        raise DatasetError(f"{where} must be torch.int64 of shape (N,), {got}")
    if value.numel() == 0:
        raise DatasetError(f"{where} must not be empty, {got}")
    if part.endswith("labels"):
        for label in (int(value.min()), int(value.max())):
            if not 0 <= label < _MOST_CLASSES:
                raise DatasetError(
                    f"{where} must number the classes from 0, at most {_MOST_CLASSES:,} of them, "
                    f"got the label {label}"
                )


def _check_together(name: str, parts: dict[str, Tensor]) -> None:
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
            f"data set {name!r}: test_images must have the shape of train_images but for N, "
            f"{train}, got {test}"
        )
