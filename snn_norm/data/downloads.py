"""The data sets that torchvision can download: MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100.

Every file is compared with torchvision's md5 each time it is read, so that an interrupted download
or extraction is never taken for complete. torchvision itself checks MNIST's files only while it
downloads them, so MNIST is read here from its checked archives.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import gzip
import hashlib
import http.client
import socket
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import check_integrity, download_and_extract_archive, download_url

from snn_norm.data.local import DatasetError, Tensors

_STALLED_AFTER = 60.0
"""A download fails after this many seconds without a byte."""

_PACKAGED_FASHION = Path("/usr/share/datasets/fashion-mnist")
_FASHION_SHA256 = [
    "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
]
"""Checksums of the unpacked files, in the order of torchvision's list of them."""


@dataclasses.dataclass(frozen=True)
class _Archive:
    """A file to download, and its path."""

    folder: Path
    name: str
    md5: str
    urls: list[str]

    def fetch(self) -> None:
        """Download the file from the first URL that has it, unless it is there already.

        Raises:
            OSError | RuntimeError | http.client.HTTPException: no URL has it; the last error.
        """
        get = download_and_extract_archive if self.name.endswith(".tar.gz") else download_url
        for position, url in enumerate(self.urls, start=1):
            try:
                get(url, self.folder, filename=self.name, md5=self.md5)
            except (OSError, RuntimeError, http.client.HTTPException):
                if position == len(self.urls):
                    raise
            else:
                return


class _Cifar:
    """CIFAR-10 or CIFAR-100: one archive, unpacked into pickled batches."""

    def __init__(self, source: Any, root: Path) -> None:
        self.source = source
        self.root = root
        self.folder = root / source.base_folder
        meta = (source.meta["filename"], source.meta["md5"])
        self.files = [*source.train_list, *source.test_list, meta]
        self.archives = [_Archive(root, source.filename, source.tgz_md5, [source.url])]

    def read(self) -> Tensors:
        train, test = (self.source(self.root, train=train) for train in (True, False))
        return (*self._tensors(train), *self._tensors(test))

    @staticmethod
    def _tensors(half: Any) -> tuple[Tensor, Tensor]:
        images_NHWC = torch.from_numpy(half.data)
        return images_NHWC.permute(0, 3, 1, 2).contiguous(), torch.tensor(half.targets)


class _Mnist:
    """MNIST or Fashion-MNIST: four gzipped IDX files."""

    def __init__(self, source: Any, root: Path) -> None:
        self.folder = root / source.__name__ / "raw"
        self.files = source.resources
        self.archives = [
            _Archive(self.folder, name, md5, [mirror + name for mirror in source.mirrors])
            for name, md5 in source.resources
        ]

    def read(self) -> Tensors:
        return _idx_tensors([_unpacked(self.folder / name) for name, _ in self.files])


def _packaged_fashion() -> Tensors | None:
    """Fashion-MNIST from Debian's package; None if it is not installed or not complete.

    Its gzip headers differ from those of the published files, so the unpacked content is checked.
    """
    try:
        names = [name for name, _ in datasets.FashionMNIST.resources]
        contents = [_unpacked(_PACKAGED_FASHION / name) for name in names]
    except (OSError, EOFError, zlib.error):
        return None
    digests = [hashlib.sha256(content).hexdigest() for content in contents]
    return _idx_tensors(contents) if digests == _FASHION_SHA256 else None


def _unpacked(path: Path) -> bytearray:
    with gzip.open(path) as stream:
        return bytearray(stream.read())


def _idx_tensors(contents: Sequence[bytearray]) -> Tensors:
    """Training images, training labels, test images and test labels from their IDX files."""
    train_images, train_labels, test_images, test_labels = map(_idx, contents)
    train, test = train_images.unsqueeze(1), test_images.unsqueeze(1)
    return train, train_labels.long(), test, test_labels.long()


def _idx(content: bytearray) -> Tensor:
    """Parse an IDX file of bytes: two zeros, the type 8, the number of sizes, the sizes, data."""
    dimensions = content[3]
    shape = struct.unpack_from(f">{dimensions}I", content, offset=4)
    return torch.frombuffer(content, dtype=torch.uint8, offset=4 + 4 * dimensions).view(shape)


def load_downloaded(name: str, root: Path) -> Tensors:
    """Read a data set from ``root``, after downloading files that are missing or damaged there.

    Fashion-MNIST is not downloaded if Debian's package ``dataset-fashion-mnist`` is installed.

    Args:
        name: mnist, fashion-mnist, cifar10 or cifar100.
        root: the folder of all data sets, with torchvision's layout. Intact files are never
            written to, so it may be read-only.

    Raises:
        DatasetError: the files are missing or damaged and cannot be downloaded.
    """
    data_set: _Cifar | _Mnist
    if name in (cifar := {"cifar10": datasets.CIFAR10, "cifar100": datasets.CIFAR100}):
        data_set = _Cifar(cifar[name], root)
    else:
        mnist = {"mnist": datasets.MNIST, "fashion-mnist": datasets.FashionMNIST}
        data_set = _Mnist(mnist[name], root)
    if _faults(data_set):
        if name == "fashion-mnist" and (packaged := _packaged_fashion()) is not None:
            return packaged
        try:
            with _only_one_process(root / f".{name}.lock"), _socket_timeout(_STALLED_AFTER):
                if _faults(data_set):
                    for archive in data_set.archives:
                        archive.fetch()
        except (OSError, RuntimeError, http.client.HTTPException) as error:
            raise DatasetError(_advice(name, data_set, error)) from error
    return data_set.read()


def _faults(data_set: _Cifar | _Mnist) -> list[str]:
    """The faults of the data set's files, one line for each file."""
    paths = [(data_set.folder / name, md5) for name, md5 in data_set.files]
    return [
        f"{path.name} is {'damaged' if path.exists() else 'missing'}"
        for path, md5 in paths
        if not check_integrity(path, md5)
    ]


def _advice(name: str, data_set: _Cifar | _Mnist, error: Exception) -> str:
    """The advice for a user whose data set can be neither read nor downloaded."""
    files = "\n".join(
        f"    {archive.urls[0]}  to  {archive.folder}" for archive in data_set.archives
    )
    package = ", or install Debian's package dataset-fashion-mnist"
    return (
        f"data set {name!r} cannot be read from {data_set.folder} "
        f"({'; '.join(_faults(data_set))}), nor downloaded ({type(error).__name__}: {error}).\n"
        "Download on a machine that has a network, and copy:\n"
        f"{files}\n"
        "or set SNN_SWEEP_DATA to a folder that holds the data set already"
        f"{package if name == 'fashion-mnist' else ''}"
    )


@contextlib.contextmanager
def _only_one_process(lock: Path) -> Iterator[None]:
    """Make trials of a sweep that start together wait until one of them has downloaded."""
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # closing the file releases the lock
        yield


@contextlib.contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    """Limit how long a connection may be silent; torchvision has no parameter for it."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
