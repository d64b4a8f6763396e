"""Recorded trials trained again, here and without a record of it, and compared epoch by epoch.

On the processor and with the software that a trial was recorded with, every number must be equal
to the last bit. Elsewhere arithmetic rounds differently, and training enlarges that with every
step, so only numbers that are near each other can be asked for.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from orchestration.errors import InputError
from orchestration.execution.worker.process_state import ProcessState
from orchestration.model.trial import trial_key
from orchestration.record.machine import ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG, machine_tags
from orchestration.results.recorded_trials import RecordedTrial
from orchestration.sweep.user_code import References
from snn_norm.data.dataset import load_dataset
from snn_norm.data.local import DatasetError
from snn_norm.shell import device_of
from snn_norm.training.run import TrainingRun

TOLERANCE = 0.15
"""How far accuracies and spike rates may be apart on another machine, and losses as a share of
themselves where they are above 1. ``docs/results.md`` says where it comes from."""

_LARGEST = sys.float_info.max
"""As which MLflow keeps infinity."""


@dataclass(frozen=True)
class Unlike:
    """A number that is not the recorded one."""

    metric: str
    epoch: int
    recorded: float
    here: float

    @property
    def distance(self) -> float:
        """How far apart the two are, as a share of the recorded one if that is above 1."""
        if math.isfinite(self.recorded) and math.isfinite(self.here):
            return abs(self.recorded - self.here) / max(1.0, abs(self.recorded))
        return math.inf


@dataclass(frozen=True)
class Reproduced:
    """A trial that was trained again.

    Args:
        trial: as recorded.
        epochs: how many were trained.
        compared: numbers of numbers that were.
        unlike: those that differ in any bit, the earliest first.
        otherwise: what is not as it was when the trial was recorded, in words; where it is
            nothing, every bit must be equal.
        problems: what alone makes the trial another, in words.
        tolerance: for numbers from elsewhere.
    """

    trial: RecordedTrial
    epochs: int
    compared: int
    unlike: tuple[Unlike, ...]
    otherwise: tuple[str, ...]
    problems: tuple[str, ...]
    tolerance: float

    @property
    def worst(self) -> Unlike | None:
        """The number that is furthest from the recorded one."""
        return max(self.unlike, key=lambda one: one.distance, default=None)

    @property
    def is_same(self) -> bool:
        """Whether it came out as it must, here."""
        near = self.worst is None or (
            bool(self.otherwise) and self.worst.distance <= self.tolerance
        )
        return near and not self.problems and self.compared > 0


def reproduce(
    trial: RecordedTrial,
    data: Path,
    *,
    device: str | None = None,
    tolerance: float = TOLERANCE,
    on_epoch: Callable[[int], object] = lambda _: None,
) -> Reproduced:
    """Train a trial again and compare it.

    Args:
        trial: as recorded.
        data: the folder of the data sets.
        device: where to train; default: where the trial was recorded, if that is there.
        tolerance: how near numbers must be if anything is not as it was.
        on_epoch: called after each epoch with its number.

    Raises:
        InputError: its data set cannot be had, code of the user's own is missing, or the device
            cannot be used.
    """
    if device is None:
        on_gpu = "CUDA" in trial.tags.get(SOFTWARE_TAG, "") and torch.cuda.is_available()
        device = "cuda" if on_gpu else "cpu"
    try:
        device = str(device_of(device))
    except ValueError as error:
        raise InputError(str(error)) from error
    state = ProcessState()
    try:
        torch.set_num_threads(trial.threads)
        problems = _code_problems(trial)
        dataset = load_dataset(trial.config.dataset, data, trial.config.image_size)
        run = TrainingRun(trial.config, dataset, device=device)
        curves: dict[str, dict[int, float]] = {}
        for result in run.epochs():
            for metric, value in result.metrics().items():
                curves.setdefault(metric, {})[result.epoch] = value
            on_epoch(result.epoch)
    except (DatasetError, ImportError, OSError) as error:
        raise InputError(f"{trial.label} cannot be trained here: {error}") from error
    finally:
        state.restore()
    epochs = len(run.history)
    recorded = max((max(points) for points in trial.curves.values() if points), default=0)
    if recorded != epochs:
        problems.append(f"{recorded} epochs recorded, {epochs} here")
    if trial.outcome != run.outcome:
        problems.append(f"{trial.outcome} recorded, {run.outcome} here")
    pairs = [
        Unlike(metric, epoch, value, curves[metric][epoch])
        for metric, points in trial.curves.items()
        for epoch, value in points.items()
        if epoch in curves.get(metric, {})
    ]
    unlike = [one for one in pairs if not _same(one.recorded, one.here)]
    here = machine_tags(device) | ({ENGINE_TAG: run.engine} if run.engine else {})
    return Reproduced(
        trial,
        epochs,
        len(pairs),
        tuple(sorted(unlike, key=lambda one: (one.epoch, one.metric))),
        tuple(_otherwise(trial.tags, here, device)),
        tuple(problems),
        tolerance,
    )


def _same(recorded: float, here: float) -> bool:
    """Whether two numbers are one, as MLflow keeps it."""
    if math.isinf(here):
        here = math.copysign(_LARGEST, here)
    if math.isinf(recorded):
        recorded = math.copysign(_LARGEST, recorded)
    return recorded == here or (math.isnan(recorded) and math.isnan(here))


def _otherwise(recorded: Mapping[str, str], here: Mapping[str, str], device: str) -> list[str]:
    """What makes the arithmetic another than it was, or may."""
    found = []
    for what, tag, part in (
        ("processor", MACHINE_TAG, _processor),
        ("software", SOFTWARE_TAG, str),
        ("spiking layers", ENGINE_TAG, str),
    ):
        before, now = (part(tags[tag]) if tag in tags else None for tags in (recorded, here))
        if before is None and tag != ENGINE_TAG:
            found.append(f"{what} not recorded")
        elif before != now:
            found.append(f"{what} {before or 'none'} recorded, {now or 'none'} here")
    if torch.device(device).type != "cpu":
        found.append(f"a {device} device, whose kernels add up in no fixed order")
    return found


def _processor(machine: str) -> str:
    """What computes, without how many cores and how much memory there are."""
    return re.sub(r"^\d+ × |, \d+ GiB", "", machine)


def _code_problems(trial: RecordedTrial) -> list[str]:
    """What says that other code is trained than was."""
    references = References()
    if wrong := references.wrong(trial.config):
        raise InputError(f"{trial.label}: " + "; ".join(f"{k}: {m}" for k, m in wrong.items()))
    key = trial_key(trial.config, references.digests(trial.config))
    return [] if key == trial.key else [f"its key is {key} now: its own code has changed"]
