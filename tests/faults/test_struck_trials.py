"""What goes wrong where a trial trains: memory, disk, checkpoints, numbers."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from laboratory import NORM, SEEDS, SLOTS, SPEC, STEPS, StruckSweep

from orchestration.record.client import connect


@pytest.mark.slow
@pytest.mark.release
def test_out_of_memory(sweep: StruckSweep) -> None:
    sweep.content = {**SPEC, "grid": [{**SPEC["grid"][0], "norm": "own_code:HungryNorm"}]}
    kind = sweep.random.choice(["of Python", "of a GPU", "of torch on a CPU"])
    steps = sweep.random.randrange(1, STEPS)
    sweep.commands.environment |= {"OWN_CODE_ERROR": kind, "OWN_CODE_STEPS": str(steps)}
    sweep.undisturbed = {
        ("own_code:HungryNorm", seed, metric): curve
        for (_, seed, metric), curve in sweep.undisturbed.items()
    }
    process = sweep.start()
    sweep.finish(process)
    assert not sweep.row.second_command
    sweep.check(most_epochs_again=1)


@pytest.mark.slow
@pytest.mark.release
def test_nan_at_an_epoch(sweep: StruckSweep) -> None:
    """A norm diverges in each of its trials; those of the other norm are as ever."""
    norms = [NORM, "own_code:DivergingNorm"]
    sweep.content = {**SPEC, "grid": [{**SPEC["grid"][0], "norm": norms}]}
    steps = sweep.random.randrange(1, STEPS)
    sweep.commands.environment["OWN_CODE_STEPS"] = str(steps)
    sweep.finish(sweep.start())
    assert not sweep.row.second_command
    sweep.check_record()
    client = connect(sweep.tracking_uri)
    experiment = client.get_experiment_by_name(sweep.name)
    assert experiment is not None
    outcomes = [
        (run.data.params["norm"], run.data.tags["snn_sweep.outcome"])
        for run in client.search_runs([experiment.experiment_id], "params.norm != ''")
    ]
    assert sorted(outcomes) == sorted(
        [(NORM, "completed")] * SEEDS + [("own_code:DivergingNorm", "diverged")] * SEEDS
    )


@pytest.fixture
def small_disk(sweep: StruckSweep, tmp_path: Path) -> Iterator[Path]:
    """A checkpoint store of a few megabytes."""
    if os.geteuid() != 0:
        pytest.skip("a small tmpfs is mounted by root alone")
    folder = tmp_path / "small disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", folder], check=True)
    sweep.commands.environment["SNN_SWEEP_STORAGE"] = str(folder)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def fill(ballast: Path) -> None:
    """Write a file until the disk it lies on takes no more."""
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))


@pytest.mark.slow
@pytest.mark.release
def test_disk_full(sweep: StruckSweep, small_disk: Path) -> None:
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    ballast = small_disk / "ballast"
    fill(ballast)
    time.sleep(sweep.random.uniform(0, 4))
    ballast.unlink()
    sweep.finish(process)
    sweep.check(most_epochs_again=SLOTS * 4)


@pytest.mark.slow
@pytest.mark.release
def test_checkpoint_truncated(sweep: StruckSweep) -> None:
    process = sweep.start()
    sweep.wait_for_a_moment(process, after=1 / 6)
    process.kill()
    process.communicate()
    time.sleep(2)  # for its workers to end: they would save another
    checkpoints = sorted(sweep.folder.rglob("checkpoint.pt"))
    for checkpoint in checkpoints:
        os.truncate(checkpoint, sweep.random.randrange(checkpoint.stat().st_size))
    sweep.finish(process)
    sweep.check(most_epochs_again=SLOTS * 3)
