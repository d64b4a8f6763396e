"""Trains recorded trials again, without recording them, and compares every epoch.

With the same processor and software as the recorded trial, every number must be equal to the last
bit. Otherwise arithmetic rounds differently, and training amplifies that with every step, so that
numbers can only be required to be close.
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
from orchestration.model.trial import Trial, trial_key
from orchestration.record.finished_trial import FinishedTrial
from orchestration.record.machine import ENGINE_TAG, MACHINE_TAG, SOFTWARE_TAG, machine_tags
from orchestration.record.names import OUTCOME_TAG
from orchestration.sweep.user_code import References
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.data.local import DatasetError
from snn_norm.shell import device_of
from snn_norm.training.run import TrainingRun

TOLERANCE = 0.15
"""How far numbers of another machine may be apart; losses above 1 relative to their size.
``docs/publishing.md`` explains the value."""

_LARGEST = sys.float_info.max
"""The value that MLflow stores for infinity."""


@dataclass(frozen=True)
class Pair:
    """A recorded number, and the same number as it was computed here."""

    metric: str
    epoch: int
    recorded: float
    here: float

    @property
    def distance(self) -> float:
        """How far apart the two are, relative to the recorded one if that is above 1."""
        if math.isfinite(self.recorded) and math.isfinite(self.here):
            return abs(self.recorded - self.here) / max(1.0, abs(self.recorded))
        return math.inf


@dataclass(frozen=True)
class Reproduced:
    """A trial that was trained again.

    Args:
        epochs: how many epochs were trained.
        compared: how many numbers were compared.
        unlike: the numbers that differ in any bit, the earliest first.
        otherwise: how this machine differs from the one that recorded the trial, in words. If it
            does not, every bit must be equal.
        problems: differences that no machine explains, in words.
        tolerance: how far numbers may be apart if the machine differs.
    """

    trial: Trial
    epochs: int
    compared: int
    unlike: tuple[Pair, ...]
    otherwise: tuple[str, ...]
    problems: tuple[str, ...]
    tolerance: float

    @property
    def worst(self) -> Pair | None:
        """The number that is furthest from the recorded one; None if all are equal."""
        return max(self.unlike, key=lambda pair: pair.distance, default=None)

    @property
    def is_same(self) -> bool:
        """Whether the trial was reproduced."""
        near = self.worst is None or (
            bool(self.otherwise) and self.worst.distance <= self.tolerance
        )
        return near and not self.problems and self.compared > 0


def reproduce(
    trial: Trial,
    recorded: FinishedTrial,
    data: Path,
    *,
    threads: int,
    device: str | None = None,
    tolerance: float = TOLERANCE,
    on_epoch: Callable[[int], object] = lambda _: None,
) -> Reproduced:
    """Train a trial again and compare it.

    Args:
        threads: how many threads of torch trained it.
        device: where to train; by default where the trial was recorded, if there is such a device.
        tolerance: how far numbers may be apart if this machine differs.
        on_epoch: called after each epoch with its number.

    Raises:
        InputError: its data set cannot be loaded, the user's own code is missing, or the device
            cannot be used.
    """
    if device is None:
        on_gpu = "CUDA" in recorded.tags.get(SOFTWARE_TAG, "") and torch.cuda.is_available()
        device = "cuda" if on_gpu else "cpu"
    try:
        device = str(device_of(device))
    except ValueError as error:
        raise InputError(str(error)) from error
    state, config = ProcessState(), trial.config
    assert isinstance(config, RunConfig)
    try:
        torch.set_num_threads(threads)
        problems = _code_problems(trial)
        dataset = load_dataset(config.dataset, data, config.image_size)
        run = TrainingRun(config, dataset, device=device)
        if recorded.tags.get(ENGINE_TAG) == "eager":
            run.keep_engine("eager")
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
    last = max((epoch for _, epoch, _, _ in recorded.points), default=0)
    if last != epochs:
        problems.append(f"{last} epochs recorded, {epochs} here")
    if (outcome := recorded.tags[OUTCOME_TAG]) != run.outcome:
        problems.append(f"{outcome} recorded, {run.outcome} here")
    pairs = [
        Pair(metric, epoch, value, curves[metric][epoch])
        for metric, epoch, _, value in recorded.points
        if epoch in curves.get(metric, {})
    ]
    unlike = [pair for pair in pairs if not _same(pair.recorded, pair.here)]
    here = machine_tags(device) | ({ENGINE_TAG: run.engine} if run.engine else {})
    return Reproduced(
        trial,
        epochs,
        len(pairs),
        tuple(sorted(unlike, key=lambda pair: (pair.epoch, pair.metric))),
        tuple(_machine_differences(recorded.tags, here, device)),
        tuple(problems),
        tolerance,
    )


def _same(recorded: float, here: float) -> bool:
    """Whether two numbers are equal once MLflow has stored them."""
    if math.isinf(here):
        here = math.copysign(_LARGEST, here)
    if math.isinf(recorded):
        recorded = math.copysign(_LARGEST, recorded)
    return recorded == here or (math.isnan(recorded) and math.isnan(here))


def _machine_differences(
    recorded: Mapping[str, str], here: Mapping[str, str], device: str
) -> list[str]:
    """Differences between the machines that may change how arithmetic rounds."""
    differences = []
    for what, tag, part in (
        ("processor", MACHINE_TAG, _processor),
        ("software", SOFTWARE_TAG, str),
        ("spiking layers", ENGINE_TAG, str),
    ):
        before, now = (part(tags[tag]) if tag in tags else None for tags in (recorded, here))
        if before is None and tag != ENGINE_TAG:
            differences.append(f"{what} not recorded")
        elif before != now:
            differences.append(f"{what} {before or 'none'} recorded, {now or 'none'} here")
    if torch.device(device).type != "cpu":
        differences.append(f"a {device} device, whose kernels add up in no fixed order")
    return differences


def _processor(machine: str) -> str:
    """The processor of a machine, without its number of cores and its memory."""
    return re.sub(r"^\d+ × |, \d+ GiB", "", machine)


def _code_problems(trial: Trial) -> list[str]:
    """The problem that the trial's own code has changed, if it has."""
    references = References()
    if wrong := references.wrong(trial.config):
        raise InputError(f"{trial.label}: " + "; ".join(f"{k}: {m}" for k, m in wrong.items()))
    key = trial_key(trial.config, references.digests(trial.config))
    return [] if key == trial.key else [f"its key is {key} now: its own code has changed"]
