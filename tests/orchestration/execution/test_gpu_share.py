from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from commands import USERS_FOLDER
from hypothesis import given
from hypothesis import strategies as st

from orchestration.execution.trials.gpu_share import (
    GpuMemory,
    gpu_share,
    memory_of_a_trial,
    share_gpus,
)
from orchestration.execution.worker.task import TrialTask
from orchestration.model.trial import Trial
from orchestration.progress.events import Event, Note
from orchestration.store.open import open_storage
from services.cluster import local_ray
from services.settings import Settings
from snn_norm import ANNCNN
from snn_norm.config import RunConfig

GIB = 2**30


class Notes:
    """A watch that is told notes and nothing else."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def __call__(self, event: Event) -> None:
        assert isinstance(event, Note)
        self.texts.append(event.text)


def task(tmp_path: Path, norm: str, *, gpu: float, seed: int = 1, **keys: Any) -> TrialTask:
    config = {
        **keys,
        "architecture": "ann",
        "norm": norm,
        "dataset": "own_code:blobs",
        "epochs": 1,
        "seed": seed,
        "width": 2,
    }
    return TrialTask(
        trial=Trial(RunConfig(**config), "k" * 16, f"ann {norm}"),
        experiment_id="1",
        parent_run_id="parent",
        run_id=None,
        storage=open_storage(str(tmp_path)),
        data=tmp_path,
        tracking_uri="http://127.0.0.1:1",
        cpu=1,
        gpu=gpu,
        import_path=str(USERS_FOLDER),
        patience=1,
        driver="d",
    )


@given(st.integers(1, 200 * GIB), st.integers(GIB, 200 * GIB))
def test_what_shares_a_gpu_fits_it(needed: int, total: int) -> None:
    share = gpu_share(GpuMemory(needed, total))
    assert 0 < share <= 1
    at_a_time = int(1 / share)
    assert at_a_time == 1 or at_a_time * needed <= total


@pytest.mark.parametrize(("needed", "at_a_time"), [(80, 1), (40, 1), (36, 2), (7, 10), (1, 64)])
def test_as_many_as_have_room(needed: int, at_a_time: int) -> None:
    assert int(1 / gpu_share(GpuMemory(needed * GIB, 80 * GIB))) == at_a_time


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """What CUDA would say, of which these three questions are asked."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (60 * GIB, 80 * GIB))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: 19 * GIB)
    monkeypatch.setattr(torch.cuda, "max_memory_reserved", lambda: 21 * GIB)


@pytest.mark.usefixtures("cuda")
def test_a_few_batches_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a CPU."""
    monkeypatch.syspath_prepend(USERS_FOLDER)
    assert memory_of_a_trial(task(tmp_path, "none", gpu=0)) == GpuMemory(22 * GIB, 80 * GIB)
    with pytest.warns(UserWarning, match="no step could be trained: The size of tensor a"):
        assert memory_of_a_trial(task(tmp_path, "own_code:BrokenNorm", gpu=0)) is None


@pytest.mark.usefixtures("cuda")
def test_batches_of_each_size_and_room_for_the_whole_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half of 64 images are held out, which leaves ten batches of three and one of two."""
    monkeypatch.syspath_prepend(USERS_FOLDER)
    seen: list[int] = []

    def watched(model: ANNCNN, x_NCHW: torch.Tensor) -> torch.Tensor:
        seen.append(len(x_NCHW))
        return forward(model, x_NCHW)

    forward = ANNCNN.forward
    monkeypatch.setattr(ANNCNN, "forward", watched)
    keys = {"batch_size": 3, "validation_fraction": 0.5}
    found = memory_of_a_trial(task(tmp_path, "none", gpu=0, **keys))
    assert seen == [3, 3, 3, 3, 3, 2, 3]
    assert found == GpuMemory(22 * GIB + (64 + 32 - 17 - 3) * 64, 80 * GIB)


def test_what_cannot_be_measured_has_a_gpu_to_itself(tmp_path: Path) -> None:
    """Ray is told of a GPU that is not there."""
    notes: Any = Notes()
    tasks = [task(tmp_path, "none", gpu=1, seed=seed) for seed in (1, 2)]
    with local_ray(Settings.from_environment({}), num_cpus=1, num_gpus=1):
        shared = share_gpus(tasks, notes)
    assert [shared(task) for task in tasks] == tasks
    assert "in 1 networks" in notes.texts[0]
    assert notes.texts[1:] == ["ann none: could not be measured, so a GPU to itself"]
