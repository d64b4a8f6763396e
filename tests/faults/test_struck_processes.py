"""Processes and nodes that die, and a spec that is started too often."""

from __future__ import annotations

import contextlib
import os

import psutil
import pytest
from laboratory import SLOTS, StruckSweep
from ray.cluster_utils import Cluster
from strikes import kill_driver, kill_worker


def test_worker_killed(sweep: StruckSweep) -> None:
    kill_worker(sweep)
    sweep.check(most_epochs_again=1)


@pytest.mark.slow
def test_driver_killed(sweep: StruckSweep) -> None:
    kill_driver(sweep)
    # Its workers end a moment after it, so the same command may find them still at work.
    sweep.check(most_epochs_again=SLOTS * 2)


@pytest.mark.slow
def test_driver_and_all_its_processes_killed(sweep: StruckSweep) -> None:
    """As when its machine loses power: what is in training stops in the middle of an epoch."""
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    processes = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    sweep.finish(process)
    sweep.check(most_epochs_again=SLOTS)


@pytest.mark.slow
def test_the_same_spec_started_ten_times_at_once(sweep: StruckSweep) -> None:
    processes = [sweep.start() for _ in range(10)]
    errors = [process.communicate(timeout=250)[1] for process in processes]
    codes = [process.returncode for process in processes]
    assert set(codes) <= {0, 1}
    assert 0 in codes
    for code, error in zip(codes, errors, strict=True):
        assert "Traceback" not in error
        assert code == 0 or "is being run by process" in error
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
def test_node_of_two_killed(sweep: StruckSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    # Workers have the environment of their node, not of the driver.
    for name in ("OWN_CODE_COUNT",):
        monkeypatch.setenv(name, sweep.commands.environment[name])
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    try:
        node = cluster.add_node(num_cpus=1)
        sweep.commands.environment["RAY_ADDRESS"] = cluster.address
        process = sweep.start()
        sweep.wait_for_a_moment(process)
        cluster.remove_node(node, allow_graceful=False)
        sweep.finish(process)
        sweep.check(most_epochs_again=SLOTS)
    finally:
        cluster.shutdown()
    assert "RAY_ADDRESS" not in os.environ
