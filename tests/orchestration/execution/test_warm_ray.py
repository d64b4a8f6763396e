"""Ray that is kept for the next sweep: who may use it, and that nothing of it stays behind."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from commands import USERS_FOLDER, Commands, commands_in, processes_in, wait_until
from specs import SLOW_SPEC

from orchestration import SweepSpec
from orchestration.execution.ray_session import RayOrder
from orchestration.execution.warm_ray import (
    find_ray,
    keep_ray,
    offered,
    stop_ray,
    take_ray,
    wait_for_sweep,
)
from services.settings import Settings, SettingsError

_WAITING = (
    "import pickle, sys\n"
    "from orchestration.execution.warm_ray import offered, wait_for_sweep\n"
    "order = pickle.load(sys.stdin.buffer)\n"
    "with offered(order) as offer:\n"
    "    driver = wait_for_sweep(offer, order.keep_minutes)\n"
    "    driver and driver.send('taken')\n"
)


@pytest.fixture
def order(tmp_path: Path) -> RayOrder:
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})
    return RayOrder(settings, keep_minutes=10)


@pytest.fixture
def waiting(order: RayOrder) -> Iterator[subprocess.Popen[bytes]]:
    """A process that waits for a sweep, without Ray."""
    process = start_waiting(order)
    yield process
    process.kill()
    process.wait()


def start_waiting(order: RayOrder) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-c", _WAITING], stdin=subprocess.PIPE)
    assert process.stdin is not None
    with process.stdin as pipe:
        pipe.write(pickle.dumps(order))
    wait_until(lambda: find_ray(order.settings) is not None)
    return process


def test_one_sweep_gets_the_process(order: RayOrder, waiting: subprocess.Popen[bytes]) -> None:
    taken = take_ray(order)
    assert isinstance(taken, tuple)
    warm, connection = taken
    with connection:
        assert (warm.pid, connection.recv()) == (waiting.pid, "taken")
    assert take_ray(order) is None
    assert list(order.settings.home.iterdir()) == []


@pytest.mark.parametrize("what", ["variable", "path", "cores", "code"])
def test_a_sweep_with_something_else_ends_it_and_says_why(
    what: str, order: RayOrder, waiting: subprocess.Popen[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    if what == "variable":
        wanted = replace(order, environment={**order.environment, "OF_THE_USER": "1", "TERM": "x"})
        why = "variable OF_THE_USER changed"
    elif what == "path":
        wanted, why = replace(order, path=("/elsewhere",)), "Python's path changed"
    elif what == "cores":
        wanted, why = replace(order, needs_one_core=False), "a trial uses several cores"
    else:
        monkeypatch.setattr("orchestration.execution.warm_ray.version", lambda _: "another")
        wanted, why = order, "the code of snn-norm changed"
    assert take_ray(wanted) == why
    waiting.wait(10)
    assert find_ray(order.settings) is None


def test_it_ends_after_its_time(order: RayOrder) -> None:
    start = time.monotonic()
    with offered(order) as offer:
        assert offer is not None
        assert wait_for_sweep(offer, 1 / 60) is None
    assert 0.9 < time.monotonic() - start < 10
    assert list(order.settings.home.iterdir()) == []


def test_a_second_process_does_not_wait_beside_the_first(
    order: RayOrder, waiting: subprocess.Popen[bytes]
) -> None:
    with offered(order) as offer:
        assert offer is None
    assert stop_ray(order.settings)
    waiting.wait(10)
    assert not stop_ray(order.settings)


def test_another_user_cannot_reach_it(order: RayOrder) -> None:
    with offered(order):
        warm = find_ray(order.settings)
        assert warm is not None
        assert Path(warm.address).parent.stat().st_mode & 0o777 == 0o700


def test_a_sweep_may_come_while_ray_is_starting(order: RayOrder) -> None:
    with offered(order) as offer:
        assert offer is not None
        taken = take_ray(order)
        assert isinstance(taken, tuple)
        driver = wait_for_sweep(offer, 1)
        assert driver is not None
        with driver, taken[1]:
            taken[1].send("a job")
            assert driver.recv() == "a job"


def test_one_that_is_taken_leaves_the_record_of_its_successor_alone(order: RayOrder) -> None:
    with ExitStack() as successor:
        with offered(order):
            taken = take_ray(order)
            assert isinstance(taken, tuple)
            taken[1].close()
            successor.enter_context(offered(order))
        assert find_ray(order.settings) is not None
    assert find_ray(order.settings) is None


def test_a_record_of_an_ended_process_is_no_ray(order: RayOrder) -> None:
    record = {"pid": os.getpid(), "created": 1.0, "address": "x", "minutes": 1, "facts": {}}
    (order.settings.home / "ray.json").write_text(json.dumps(record))
    assert find_ray(order.settings) is None
    assert take_ray(order) is None


def test_the_next_sweep_gets_prepared_workers_whatever_this_one_needs(
    order: RayOrder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    spec = SweepSpec.from_dict({"name": "one trial", **SLOW_SPEC, "resources": {"cpu": 2}})
    assert not RayOrder.of(spec, order.settings).all_cores_train
    assert RayOrder.of(spec, order.settings).kept(5).all_cores_train


def test_a_time_without_warm_is_refused(own_home: Commands) -> None:
    process = own_home.start("up", "--for", "5")
    assert "add --warm" in process.communicate()[1]
    assert process.returncode == 2


def test_a_cluster_is_not_kept(order: RayOrder) -> None:
    of_cluster = replace(order.settings, ray_address="127.0.0.1:6379")
    with pytest.raises(SettingsError, match="unset RAY_ADDRESS"):
        keep_ray(replace(order, settings=of_cluster), until_ready=True)


@pytest.fixture
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Commands]:
    """Commands in a home with a tracking server of its own, of which no process stays."""
    monkeypatch.syspath_prepend(USERS_FOLDER)
    with commands_in(tmp_path, "") as commands:
        yield commands
        for process in processes_in(commands):
            process.kill()


@pytest.mark.slow
def test_sweeps_use_it_one_after_the_other_until_it_is_stopped(own_home: Commands) -> None:
    settings = Settings.from_environment(own_home.environment)
    _, path = own_home.spec("warm", {**SLOW_SPEC, "epochs": 1, "seeds": [1]})
    own_home.run("up", "--warm")
    first = find_ray(settings)
    assert first is not None
    assert f"process {first.pid} keeps Ray warm" in own_home.start("up", "--warm").communicate()[0]
    assert "started anew" not in own_home.run("run", path)
    assert first.process() is None
    second = find_ray(settings)
    assert second is not None, "offered while its Ray is starting"
    assert second.pid != first.pid
    own_home.run("down")
    assert processes_in(own_home) == []


@pytest.mark.slow
@pytest.mark.release
def test_ctrl_c_while_it_starts_leaves_no_process(own_home: Commands) -> None:
    command = own_home.start("up", "--warm")

    def gcs_servers() -> list[psutil.Process]:
        return [one for one in processes_in(own_home) if one.name() == "gcs_server"]

    wait_until(lambda: gcs_servers() != [])
    for one in gcs_servers():
        one.suspend()  # so that Ray cannot be ready before the signal comes
    command.send_signal(signal.SIGINT)
    command.communicate(timeout=60)
    assert command.returncode == 130
    wait_until(lambda: processes_in(own_home) == [], timeout=20)


@pytest.mark.slow
@pytest.mark.release
def test_after_its_time_the_tracking_server_ends_too(own_home: Commands) -> None:
    own_home.run("up", "--warm", "--for", "0.02")
    wait_until(lambda: processes_in(own_home) == [], timeout=60)
