"""Processes and nodes that die, and a spec that is started too often."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

import psutil
import pytest
from commands import finish
from laboratory import SLOTS, StruckSweep
from ray.cluster_utils import Cluster
from strikes import kill_driver, kill_group, kill_worker


def test_worker_killed(sweep: StruckSweep) -> None:
    kill_worker(sweep)
    sweep.check(most_epochs_again=1)


@pytest.mark.slow
def test_driver_killed(sweep: StruckSweep) -> None:
    kill_driver(sweep)
    # Its workers end a moment after it, so the same command may find them still at work.
    sweep.check(most_epochs_again=SLOTS * 2)


@pytest.mark.slow
@pytest.mark.release
def test_driver_and_all_its_processes_killed(sweep: StruckSweep) -> None:
    """What is in training stops in the middle of an epoch."""
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    kill_group(process)
    sweep.finish(process)
    sweep.check(most_epochs_again=SLOTS)


@pytest.mark.slow
@pytest.mark.release
def test_ray_killed(sweep: StruckSweep) -> None:
    """As `ray stop` or a lack of memory ends it, in part or as a whole."""
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    processes = psutil.Process(process.pid).children(recursive=True)
    what = sweep.random.choice(["gcs_server", "raylet", "all of it"])
    struck = time.time()
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if one.name() == what or (what == "all of it" and "/ray/" in " ".join(one.cmdline())):
                one.kill()
    told = finish(process, 0)
    assert "Ray has ended on this machine" in told
    assert "Traceback" not in told
    home = Path(sweep.commands.environment["SNN_SWEEP_HOME"])
    events = (home / "logs" / sweep.name / "events.jsonl").read_text().splitlines()
    noticed = next(json.loads(line)["time"] for line in events if "Ray has ended" in line)
    assert noticed - struck < 10
    assert psutil.wait_procs(processes, timeout=5)[1] == [], "a process stayed behind"
    sweep.check(most_epochs_again=SLOTS)


@pytest.mark.slow
@pytest.mark.release
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
@pytest.mark.release
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
