"""Data sets as their publishers have them: small files in the same formats, and a server of them.

torchvision's checksums are replaced by those of the written files, and nothing else is.
"""

from __future__ import annotations

import dataclasses
import functools
import gzip
import hashlib
import http.server
import pickle
import shutil
import struct
import tarfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision import datasets

CLASSES = {
    "mnist": datasets.MNIST,
    "fashion-mnist": datasets.FashionMNIST,
    "cifar10": datasets.CIFAR10,
    "cifar100": datasets.CIFAR100,
}


@dataclasses.dataclass
class Published:
    """A data set as its publisher has it: the archives, and what is in them."""

    archives: Path
    inside: str
    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def random_half(n: int, channels: int, size: int, classes: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(n)
    images = torch.randint(0, 256, (n, channels, size, size), generator=generator)
    labels = torch.randint(0, classes, (n,), generator=generator)
    labels[0] = classes - 1
    return images.to(torch.uint8), labels


def publish_cifar(kind: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    classes, key = (10, "labels") if kind is datasets.CIFAR10 else (100, "fine_labels")
    batches = folder / kind.base_folder
    batches.mkdir(parents=True)
    halves = []
    for table, n in (("train_list", 30), ("test_list", 10)):
        names = [name for name, _ in getattr(kind, table)]
        images, labels = random_half(n, 3, 32, classes)
        parts = zip(names, images.chunk(len(names)), labels.chunk(len(names)), strict=True)
        for name, part, part_labels in parts:
            entry = {"data": part.flatten(1).numpy(), key: part_labels.tolist()}
            (batches / name).write_bytes(pickle.dumps(entry, protocol=2))
        monkeypatch.setattr(kind, table, [[name, md5(batches / name)] for name in names])
        halves.append((images, labels))
    meta = batches / kind.meta["filename"]
    meta.write_bytes(pickle.dumps({kind.meta["key"]: [f"class {n}" for n in range(classes)]}))
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5(meta)})
    with tarfile.open(folder / kind.filename, "w:gz") as archive:
        archive.add(batches, kind.base_folder)
    shutil.rmtree(batches)
    monkeypatch.setattr(kind, "tgz_md5", md5(folder / kind.filename))
    return Published(folder, kind.base_folder, *halves)


def publish_mnist(kind: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Published:
    folder.mkdir(parents=True)
    halves = random_half(30, 1, 28, 10), random_half(10, 1, 28, 10)
    arrays = [array.numpy() for images, labels in halves for array in (images[:, 0], labels)]
    names = [name for name, _ in kind.resources]
    for name, array in zip(names, arrays, strict=True):
        head = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
        (folder / name).write_bytes(gzip.compress(head + array.astype(np.uint8).tobytes()))
    monkeypatch.setattr(kind, "resources", [(name, md5(folder / name)) for name in names])
    return Published(folder, f"{kind.__name__}/raw", *halves)


class Publisher:
    """Serves a folder on a free port, and notes what was fetched."""

    def __init__(self, folder: Path) -> None:
        self.fetched: list[str] = []
        publisher = self

        class Handler(http.server.SimpleHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.headers["Method"] != "HEAD":  # torchvision's way to follow redirections
                    publisher.fetched.append(self.path.removeprefix("/"))
                    time.sleep(0.1)  # long enough for a second process to want it too
                super().do_GET()

            def log_message(self, *args: object) -> None:
                pass

        handler = functools.partial(Handler, directory=str(folder))
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/"
