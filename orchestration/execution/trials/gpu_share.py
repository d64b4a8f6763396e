"""``resources: {gpu: auto}``: measures how many trials fit on a GPU.

A few batches of each cell are run on a GPU of its own. Their peak memory decides which share of a
GPU each trial of that cell reserves. Ray only counts such shares; it does not enforce them.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import ray
import torch

from orchestration.execution.worker.task import TrialTask
from orchestration.progress.events import EventHandler, Note
from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.data.hold_out import training_part
from snn_norm.training.cuda_graph import STEPS_TO_CAPTURE
from snn_norm.training.run import TrainingRun

_HEADROOM = 1.1
"""A factor on the measured peak, for memory that fragmentation makes unusable."""

_BATCHES = STEPS_TO_CAPTURE + 1

_MOST = 64
"""The most trials on one GPU; far fewer use all its computing power."""


@dataclass(frozen=True)
class GpuMemory:
    """The bytes that a trial needs at its peak, and those that its GPU has."""

    needed: int
    total: int


def gpu_share(memory: GpuMemory) -> float:
    """The share of a GPU that a trial reserves: 1 divided by the number of trials that fit.

    >>> gpu_share(GpuMemory(needed=10 * 2**30, total=80 * 2**30))
    0.1428
    """
    fit = min(max(1, int(memory.total // (memory.needed * _HEADROOM))), _MOST)
    return int(10_000 / fit) / 10_000  # Ray counts in ten-thousandths; the sum must not exceed 1


def share_gpus(tasks: Sequence[TrialTask], watch: EventHandler) -> Callable[[TrialTask], TrialTask]:
    """Return a function that sets a task's share of a GPU to what it needs. Ray must be running.

    A network that cannot be measured gets a whole GPU, and its trial then reports what is wrong.
    """
    measure = ray.remote(num_gpus=1, num_cpus=0)(memory_of_a_trial)
    cells = {task.trial.cell: task for task in tasks}
    watch(Note(f"measuring the GPU memory of a trial, in {len(cells)} networks"))
    measured = ray.get([measure.remote(task) for task in cells.values()])
    shares = {}
    for (cell, task), memory in zip(cells.items(), measured, strict=True):
        shares[cell] = gpu_share(memory) if memory else 1.0
        words = (
            f"{memory.needed / 2**30:.2f} of {memory.total / 2**30:.0f} GiB, "
            f"{int(1 / shares[cell])} at a time on a GPU"
            if memory
            else "could not be measured, so a GPU to itself"
        )
        watch(Note(f"{task.trial.cell_label}: {words}"))
    return lambda task: replace(task, gpu=shares[task.trial.cell])


def memory_of_a_trial(task: TrialTask) -> GpuMemory | None:
    """Measure the memory of a few batches on this process's GPU; None if they cannot be trained.

    There are enough batches to need all the memory of an epoch: a step that is captured in a CUDA
    graph keeps its memory, and the last batch, which is smaller, and the test set need their own.
    """
    if task.import_path not in sys.path:
        sys.path.insert(0, task.import_path)
    config = task.trial.config
    assert isinstance(config, RunConfig)  # specs refuse gpu: auto with the user's own training
    try:
        whole = load_dataset(config.dataset, task.data, config.image_size)
        dataset, _ = training_part(whole, config.training_images, config.validation_fraction)
        few = _few_batches(dataset, config.batch_size)
        config = config.model_copy(update={"training_images": None, "validation_fraction": 0.0})
        TrainingRun(config, few, device=task.device).run_epoch()
        free, total = torch.cuda.mem_get_info()
        elsewhere = total - free - torch.cuda.memory_reserved()  # mostly the CUDA context
        left_out = _bytes(whole) - _bytes(few)
        return GpuMemory(torch.cuda.max_memory_reserved() + elsewhere + left_out, total)
    except Exception as error:  # noqa: BLE001 - the user's code may raise anything
        warnings.warn(f"{task.trial.label}: no step could be trained: {error}", stacklevel=2)
    return None


def _few_batches(dataset: Dataset, batch_size: int) -> Dataset:
    """A short epoch: whole batches, the short last batch of the whole set, and a test batch."""
    train = _BATCHES * batch_size + len(dataset.train_labels) % batch_size
    return replace(
        dataset,
        train_images=dataset.train_images[:train],
        train_labels=dataset.train_labels[:train],
        test_images=dataset.test_images[:batch_size],
        test_labels=dataset.test_labels[:batch_size],
    )


def _bytes(dataset: Dataset) -> int:
    return dataset.train_images.nbytes + dataset.test_images.nbytes
