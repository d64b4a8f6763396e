"""What a user might bring: a small data set, a slow norm, a broken one, one that runs wild."""

from __future__ import annotations

import math
import os
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from torch import Tensor, nn


def blobs(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG001
    """64 training and 32 test images of two classes, dark and bright."""
    generator = torch.Generator().manual_seed(0)

    def images(count: int) -> tuple[Tensor, Tensor]:
        labels = torch.arange(count) % 2
        noise = torch.randint(0, 120, (count, 1, 8, 8), generator=generator)
        return (noise + 120 * labels[:, None, None, None]).to(torch.uint8), labels

    return *images(64), *images(32)


def wrong_labels(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Labels that are no whole numbers."""
    train_images, train_labels, test_images, test_labels = blobs(root)
    return train_images, train_labels.float(), test_images, test_labels


def tiny(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Images of 6x6."""
    train_images, train_labels, test_images, test_labels = blobs(root)
    return train_images[..., 1:7, 1:7], train_labels, test_images[..., 1:7, 1:7], test_labels


def frames(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Sequences of three frames, the image and darker ones."""
    train_images, train_labels, test_images, test_labels = blobs(root)
    train, test = (
        torch.stack([images, images // 2, images // 3], 1) for images in (train_images, test_images)
    )
    return train, train_labels, test, test_labels


def exits(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:  # noqa: ARG001
    """Its author wrote it as a program."""
    sys.exit(3)


def no_files(root: Path) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Its author forgot to bring the files."""
    (root / "absent.pt").read_bytes()
    return blobs(root)


class NoNeurons(nn.Module):
    """A network without a layer that has diagnostics."""

    def __init__(self, *, in_channels: int, num_classes: int, image_size: int, **_: object) -> None:
        super().__init__()
        print("I am built")  # noqa: T201
        self.classifier = nn.Linear(in_channels * image_size**2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(x.flatten(1))
        return logits


class Unbuildable(nn.Module):
    """Fails before there is a network."""

    def __init__(self, **_: object) -> None:
        raise RuntimeError("not today")


class ExitingNorm(nn.BatchNorm2d):
    """Ends its process, or would."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
        sys.exit(3)


class ForgetfulNorm(nn.BatchNorm2d):
    """Its author forgot the return."""

    def forward(self, x: Tensor) -> None:  # type: ignore[override]
        super().forward(x)


class SlowNorm(nn.BatchNorm2d):
    """Batch normalization that takes its time, so that a test can strike in the middle."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.03)
        return super().forward(x)


class BrokenNorm(nn.Module):
    """Fails where its author made a mistake."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_features + 1))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight[:, None, None]


class CountingNorm(nn.BatchNorm2d):
    """Notes each forward pass of its training as a byte in a file, and takes a little time."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            with Path(os.environ["OWN_CODE_COUNT"]).open("ab", buffering=0) as file:
                file.write(b".")
        time.sleep(0.01)
        return super().forward(x)


class _LimitedNorm(CountingNorm):
    """Counts down the steps of its training."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.steps_left = int(os.environ["OWN_CODE_STEPS"])

    def forward(self, x: Tensor) -> Tensor:
        self.steps_left -= self.training
        return super().forward(x)


class DivergingNorm(_LimitedNorm):
    """Gives NaN from some step of its training on."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * (1 if self.steps_left > 0 else math.nan)


class HungryNorm(_LimitedNorm):
    """Runs out of memory at some step of its training, in one process, once in its life."""

    def forward(self, x: Tensor) -> Tensor:
        if self.steps_left <= 1 and self._is_first():
            match os.environ["OWN_CODE_ERROR"]:
                case "of Python":
                    raise MemoryError
                case "of a GPU":
                    raise torch.OutOfMemoryError("CUDA out of memory")
                case _:
                    torch.empty(2**60)
        return super().forward(x)

    def _is_first(self) -> bool:
        try:
            Path(os.environ["OWN_CODE_COUNT"] + ".hungry").touch(exist_ok=False)
        except FileExistsError:
            return False
        return True


class DeadlyNorm(nn.BatchNorm2d):
    """Ends the node that it runs on, as one does that takes all of its memory."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
        with Path(os.environ["OWN_CODE_NODES"]).open("ab", buffering=0) as file:
            file.write(b".")
        raylet = psutil.Process().parent()
        assert raylet is not None
        assert raylet.name() == "raylet"
        raylet.kill()
        time.sleep(600)
        raise AssertionError("the node still lives")


class WildNorm(nn.BatchNorm2d):
    """Leaves its process in disorder, and fails."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: ARG002
        note_process()
        torch.set_default_dtype(torch.float64)
        torch.set_num_threads(7)
        torch.set_grad_enabled(False)
        torch.use_deterministic_algorithms(True)
        torch.set_autocast_enabled("cpu", True)
        torch.manual_seed(7)
        np.seterr(all="raise")
        sys.path.clear()
        os.environ["OWN_CODE_LEFT_BEHIND"] = "1"
        os.chdir("/")
        raise ValueError("and fails")


class TidyNorm(nn.BatchNorm2d):
    """Notes the process it is in; would fail on what WildNorm leaves there."""

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        note_process()
        assert "OWN_CODE_LEFT_BEHIND" not in os.environ
        assert Path.cwd() != Path("/")


def note_process() -> None:
    with Path(os.environ["OWN_CODE_PROCESSES"]).open("a") as file:
        file.write(f"{os.getpid()}\n")
