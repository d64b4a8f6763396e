"""Training code that a user might bring: a run by its four parts, generators, and mistaken ones."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from snn_norm import BaseRun

Metrics = dict[str, float]


class Fit(BaseRun):
    """A line through points, by a model, an optimizer and a step."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        super().__init__(config, device)
        self.model = nn.Linear(3, 1).to(self.device)
        self.optimizer = torch.optim.SGD(self.model.parameters(), config["rate"], momentum=0.9)

    def batches(self) -> Iterator[Tensor]:
        for _ in range(24):
            yield torch.randn(8, 3, device=self.device)

    def step(self, batch: Tensor) -> Tensor:
        # A byte in a file for each step, if a test counts them, and time to strike.
        if count := os.environ.get("OWN_CODE_COUNT"):
            with Path(count).open("ab", buffering=0) as file:
                file.write(b".")
            time.sleep(0.01)
        return (self.model(batch) - batch.sum(1, keepdim=True)).square().mean()

    def evaluate(self) -> Metrics:
        return {"val_error": float((self.model.weight - 1).abs().mean())}


class FitWithin(Fit):
    """The same, saved within its epochs; its step draws random numbers too."""

    saves_within_epoch = True

    def step(self, batch: Tensor) -> Tensor:
        return super().step(batch + 0.1 * torch.randn_like(batch))


class ByHand:
    """A run by its four parts and the one that saves it within its epochs, without a base class."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        self.points = torch.randn(96, 3, device=device)
        self.weight = torch.zeros(3, device=device)
        self.rate, self.epoch, self.epochs = config["rate"], 0, config["epochs"]
        self.save: Any = None
        self.batch = 0

    @property
    def done(self) -> bool:
        return bool(self.epoch == self.epochs)

    def save_within_epoch(self, save: Any, position: int | None) -> None:
        self.save, self.batch = save, position or 0

    def run_epoch(self) -> Metrics:
        batches = torch.randperm(len(self.points)).split(4)
        while self.batch < len(batches):
            if count := os.environ.get("OWN_CODE_COUNT"):
                with Path(count).open("ab", buffering=0) as file:
                    file.write(b".")
                time.sleep(0.01)
            points = self.points[batches[self.batch]]
            error = points @ self.weight - points.sum(1)
            self.weight -= self.rate * (error[:, None] * points).mean(0)
            self.batch += 1
            if self.save is not None and self.save.is_due:
                self.save(self.batch)
        self.epoch += 1
        return {"val_error": float((self.weight - 1).abs().mean())}

    def state_dict(self) -> Any:
        return [self.points, self.weight.clone(), self.epoch]

    def load_state_dict(self, state: Any) -> None:
        self.points, self.weight, self.epoch = state


class OnlyOnce(Fit):
    """Its batches are used up after an epoch."""

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        super().__init__(config, device)
        self.once = super().batches()

    def batches(self) -> Iterator[Tensor]:
        return self.once


def forgetful(config: Mapping[str, Any], device: torch.device, state: Any) -> Iterator[Metrics]:
    """A generator that gives no state."""
    run = Fit(config, device)
    assert state is None
    while not run.done:
        yield run.run_epoch()


def mindful(
    config: Mapping[str, Any], device: torch.device, state: Any
) -> Iterator[tuple[Metrics, Any]]:
    """A generator that gives its state with each epoch."""
    run = Fit(config, device)
    if state is not None:
        run.load_state_dict(state)
    while not run.done:
        yield run.run_epoch(), run.state_dict()


def seeded(
    config: Mapping[str, Any], device: torch.device, state: Any
) -> Iterator[tuple[Metrics, Any]]:
    """A generator that gives its state and seeds its epochs itself, as it prepares within one."""
    run = Fit(config, device)
    if state is not None:
        run.load_state_dict(state)
    while not run.done:
        torch.manual_seed(1000 * config["seed"] + run.epoch)
        yield run.run_epoch(), run.state_dict()


def seldom(
    config: Mapping[str, Any], device: torch.device, state: Any  # noqa: ARG001
) -> Iterator[Any]:  # fmt: skip
    """A generator whose second epoch is the best, and the only one to give a state."""
    yield {"val_error": 0.5}
    yield {"val_error": 0.1}, {"epoch": 2}
    for _ in range(6):
        yield {"val_error": 0.3}


def opaque(
    config: Mapping[str, Any], device: torch.device, state: Any  # noqa: ARG001
) -> Iterator[Any]:  # fmt: skip
    """A generator whose state cannot be written without pickle."""
    for epoch in range(state[1] if state else 0, 4):
        yield {"val_error": 1 / (epoch + 1)}, (object(), epoch + 1)


def mistaken(
    config: Mapping[str, Any], device: torch.device, state: Any  # noqa: ARG001
) -> Iterator[Any]:  # fmt: skip
    """Makes the mistake that its config names, in its third epoch where it is one of an epoch."""
    good = {"val_error": 0.5, "val_loss": 1.0}
    third: dict[str, Any] = {
        "none": good,
        **dict.fromkeys(["raises", "latin_1", "interrupts", "long"], good),
        "nan": {**good, "val_loss": math.nan},
        "appears": {**good, "val_iou": 0.1},
        "vanishes": {"val_error": 0.5},
        "text": {**good, "val_loss": "low"},
        "list": [0.5],
    }
    mistake = config["mistake"]
    if mistake == "missing":
        yield {"val_loss": 1.0}
    if mistake == "unpicklable":
        yield good, lambda: None
    if mistake == "taken":
        yield {**good, "epoch_seconds": 1.0}
    if mistake == "nothing":
        return
    if mistake == "nan_at_once":
        yield third["nan"] | {"val_error": math.nan}
    yield good
    yield good
    if mistake == "raises":
        raise ZeroDivisionError("a mistake of its author's")
    if mistake == "latin_1":  # as Python reads the bytes of a file name that is no UTF-8
        raise FileNotFoundError(os.fsdecode(b"caf\xe9.png"))
    if mistake == "interrupts":
        raise KeyboardInterrupt
    if mistake == "long":
        raise ValueError("x" * 100_000)
    yield third[mistake]


def brief(
    config: Mapping[str, Any], device: torch.device, state: Any  # noqa: ARG001
) -> Iterator[Metrics]:  # fmt: skip
    """A generator of one epoch that computes nothing and takes as long as its config says."""
    time.sleep(config["seconds"])
    yield {"val_error": 0.5}


class Partial:
    """Its author has forgotten to save its state."""

    done = False

    def __init__(self, config: Mapping[str, Any], device: torch.device) -> None:
        pass

    def run_epoch(self) -> Metrics:
        return {"val_error": 0.5}
