"""``resources: {gpu: auto}``: as many trials on a GPU as have room, measured and not guessed.

One training step of each cell is run on a GPU of its own, and its peak memory decides what share of
a GPU each trial of that cell reserves. Ray only counts such shares; it does not enforce them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace

import ray
import torch

from orchestration.progress import Watch
from orchestration.trial import TrialTask
from snn_norm.config import RunConfig
from snn_norm.data import load_dataset
from snn_norm.training import TrainingRun

__all__ = ["GpuMemory", "gpu_share", "memory_of_a_step", "share_gpus"]

_HEADROOM = 1.1
"""Over the measured peak, for what the allocator loses between blocks of different sizes."""

_MOST = 64
"""Trials on one GPU; long before that they wait for each other and not for memory."""


@dataclass(frozen=True)
class GpuMemory:
    """Memory in bytes: what a trial needs at its peak, and what its GPU has."""

    needed: int
    total: int


def gpu_share(memory: GpuMemory) -> float:
    """The share of a GPU that a trial reserves: one part in as many as fit, 1 at least.

    >>> gpu_share(GpuMemory(needed=10 * 2**30, total=80 * 2**30))
    0.1428
    """
    fit = min(max(1, int(memory.total // (memory.needed * _HEADROOM))), _MOST)
    return int(10_000 / fit) / 10_000  # Ray counts in ten-thousandths; their sum must not pass 1


def share_gpus(tasks: Sequence[TrialTask], watch: Watch) -> list[TrialTask]:
    """The tasks with the share of a GPU that each needs. Ray must be there.

    What cannot be measured has a GPU to itself, where its own trial will say what is wrong.
    """
    measure = ray.remote(num_gpus=1, num_cpus=0)(memory_of_a_step)
    cells = {_cell(task): task for task in tasks}
    watch.note(f"measuring what a training step takes of a GPU, in {len(cells)} networks")
    measured = ray.get([measure.remote(task) for task in cells.values()])
    shares = {}
    for (cell, task), memory in zip(cells.items(), measured, strict=True):
        shares[cell] = gpu_share(memory) if memory else 1.0
        label = task.record.label.rpartition(" seed ")[0]
        if memory is None:
            watch.note(f"{label}: could not be measured, so a GPU to itself")
        else:
            watch.note(
                f"{label}: {memory.needed / 2**30:.2f} of {memory.total / 2**30:.0f} GiB, "
                f"{int(1 / shares[cell])} at a time on a GPU"
            )
    return [replace(task, gpu=shares[_cell(task)]) for task in tasks]


def memory_of_a_step(task: TrialTask) -> GpuMemory | None:
    """Train one step on this process's GPU; None where that cannot be done."""
    if task.import_path not in sys.path:
        sys.path.insert(0, task.import_path)
    config = RunConfig(**task.record.config)
    try:
        dataset = load_dataset(config.dataset, task.data, config.image_size)
        TrainingRun(config, dataset, device=task.device).run_epoch(_stop)
    except _EnoughError:
        free, total = torch.cuda.mem_get_info()
        elsewhere = total - free - torch.cuda.memory_reserved()  # the context above all
        return GpuMemory(torch.cuda.max_memory_reserved() + elsewhere, total)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        warnings.warn(f"{task.record.label}: no step could be trained: {error}", stacklevel=2)
    return None


class _EnoughError(Exception):
    """One step has been taken."""


def _stop(_: int) -> None:
    raise _EnoughError


def _cell(task: TrialTask) -> tuple[tuple[str, object], ...]:
    return tuple((key, value) for key, value in task.record.config.items() if key != "seed")
