"""Ray ends while a sweep runs: noticed, started again or given up, and nothing stays behind."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from collections.abc import Collection
from pathlib import Path

import psutil
import pytest
from commands import SLOW, USERS_FOLDER, Commands, epochs_of, finish, trials_of, wait_until
from mlflow import MlflowClient
from ray.cluster_utils import Cluster
from specs import SLOW_SPEC

from orchestration import SweepSpec
from orchestration.execution.ray_process import RayLostError, RayProcess, TrainingJob
from orchestration.execution.ray_session import RayOrder
from orchestration.execution.tally import Tally
from orchestration.progress.events import EpochDone, Event, Failed, Planned, Started
from orchestration.sweep.plan import make_plan
from services.settings import Settings


def parts_of(pid: int, name: str) -> list[psutil.Process]:
    """The processes of this name that a process, or one that it has started, has started."""
    return [one for one in psutil.Process(pid).children(recursive=True) if one.name() == name]


def have_ended(processes: Collection[psutil.Process], within: float = 5) -> bool:
    """Whether none is left, once the system has had time to clear away those that were killed."""
    return psutil.wait_procs(processes, timeout=within)[1] == []


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    return Settings.from_environment({"SNN_SWEEP_HOME": str(tmp_path)})


def job_in(settings: Settings) -> TrainingJob:
    spec = SweepSpec.from_dict({"name": "lost", **SLOW_SPEC})
    plan = make_plan(spec.trials(), (), version="")
    return TrainingJob(spec, settings, "http://127.0.0.1:9", "1", "parent", plan, (), frozenset())


@pytest.mark.parametrize("name", ["gcs_server", "raylet"])
def test_the_end_of_ray_is_noticed_and_none_of_its_processes_stays(
    name: str, settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    own = psutil.Process()
    before = set(own.children(recursive=True))
    of_ray: set[psutil.Process] = set()
    struck = 0.0

    def strike(event: Event) -> None:
        nonlocal of_ray, struck
        if isinstance(event, Started) and not of_ray:
            of_ray = set(own.children(recursive=True)) - before
            parts_of(own.pid, name)[0].kill()
            struck = time.monotonic()

    with RayProcess(RayOrder(settings)) as ray:
        with pytest.raises(RayLostError, match="Ray has ended on this machine"):
            ray.train(job_in(settings), strike)
        assert time.monotonic() - struck < 10
        assert have_ended(of_ray)
    assert "aylet" not in capfd.readouterr().err, "Ray's own words"


def test_ray_ends_with_the_block_whether_it_was_used_or_not(settings: Settings) -> None:
    own = psutil.Process()
    before = set(own.children(recursive=True))
    with RayProcess(RayOrder(settings)) as ray:
        ray.start()
        wait_until(lambda: parts_of(own.pid, "gcs_server") != [])
        of_ray = set(own.children(recursive=True)) - before
    assert have_ended(of_ray)


def test_trials_run_in_workers_that_ray_has_started_in_advance(settings: Settings) -> None:
    def workers(title: str) -> dict[int, psutil.Process]:
        children = [one for ray in parts_of(os.getpid(), "raylet") for one in ray.children()]
        return {one.pid: one for one in children if " ".join(one.cmdline()).startswith(title)}

    def has_torch(worker: psutil.Process) -> bool:
        return any("libtorch" in library.path for library in worker.memory_maps())

    used: set[int] = set()

    def watch(event: Event) -> None:
        if isinstance(event, Started):
            used.update(workers("ray::ResourceTrainable"))
            raise InterruptedError

    with RayProcess(RayOrder(settings, all_cores_train=True)) as ray:
        ray.start()
        wait_until(lambda: len(workers("ray::IDLE")) == os.cpu_count())
        in_advance = workers("ray::IDLE")
        wait_until(lambda: all(map(has_torch, in_advance.values())))
        with pytest.raises(InterruptedError):
            ray.train(job_in(settings), watch)
    assert used
    assert used <= set(in_advance)


def test_workers_import_in_advance_only_if_all_of_them_train(settings: Settings) -> None:
    def all_cores_train(**resources: float | str) -> bool:
        keys = {"seeds": list(range(1, 1 + (os.cpu_count() or 1))), "resources": resources}
        spec = SweepSpec.from_dict({"name": "few", **SLOW_SPEC, **keys})
        return RayOrder.of(spec, settings).all_cores_train

    assert all_cores_train(cpu=0.5)
    assert not all_cores_train(cpu=2)
    assert not all_cores_train(gpu=0.1)
    assert not all_cores_train(gpu="auto")


def test_ray_ends_with_a_driver_that_is_killed(tmp_path: Path) -> None:
    program = (
        "import time\n"
        "from orchestration.execution.ray_process import RayProcess\n"
        "from orchestration.execution.ray_session import RayOrder\n"
        "from services.settings import Settings\n"
        "with RayProcess(RayOrder(Settings.from_environment({}))) as ray:\n"
        "    ray.start(); time.sleep(1000)\n"
    )
    driver = subprocess.Popen([sys.executable, "-c", program], cwd=tmp_path)
    try:
        wait_until(lambda: parts_of(driver.pid, "raylet") != [])
        of_ray = psutil.Process(driver.pid).children(recursive=True)
    finally:
        driver.kill()
        driver.wait()
    assert have_ended(of_ray, within=30)


def test_an_error_in_that_process_is_the_drivers(settings: Settings) -> None:
    job = job_in(settings)
    wrong = dataclasses.replace(job, plan=None)  # type: ignore[arg-type]
    error = pytest.raises(AttributeError, match="NoneType")
    with RayProcess(RayOrder(settings)) as ray, error as caught:
        ray.train(wrong, lambda _: None)
    assert "in train" in "".join(caught.value.__notes__)


@pytest.mark.usefixtures("settings")
def test_losses_are_counted_since_the_last_epoch_and_failures_by_key() -> None:
    spec = SweepSpec.from_dict({"name": "tally", **SLOW_SPEC})
    plan = make_plan(spec.trials(), (), version="")
    tally = Tally(lambda _: None)
    first, second, *_ = plan.run
    tally(Planned(plan))
    tally.losses = 3
    tally(Failed(first.label, "a reason"))
    assert (tally.losses, tally.failed) == (3, {first.key: "a reason"})
    assert tally.without_failed(plan).run == plan.run[1:]
    tally(EpochDone(second.label, {}))
    assert tally.losses == 0


@pytest.mark.slow
@pytest.mark.release
def test_a_sweep_whose_ray_ends_whenever_it_has_started_gives_up(
    commands: Commands, client: MlflowClient
) -> None:
    _, path = commands.spec("given up", {**SLOW_SPEC, "epochs": 1000})
    process = commands.start("run", path)
    wait_until(lambda: epochs_of(client, "given up") > 0)
    seen: set[psutil.Process] = set()
    for _ in range(4):
        wait_until(lambda: parts_of(process.pid, "gcs_server") != [])
        wait_until(lambda: parts_of(process.pid, "raylet") != [])
        seen |= set(psutil.Process(process.pid).children(recursive=True))
        (gcs,) = parts_of(process.pid, "gcs_server")
        gcs.kill()
        wait_until(lambda: not gcs.is_running())  # noqa: B023 - called here alone
    told = finish(process, 3)
    assert told.count("it is started again") == 3
    assert "4 times without an epoch of any trial in between" in told
    assert "Traceback" not in told
    runs = [client.get_run(run) for run in trials_of(client, "given up", SLOW)]
    assert {run.info.status for run in runs} == {"KILLED"}
    assert {"Ray has ended" in run.data.tags["snn_sweep.reason"] for run in runs} == {True}
    assert have_ended(seen)


@pytest.mark.slow
@pytest.mark.release
def test_a_cluster_that_the_user_names_is_not_started_again(
    commands: Commands, client: MlflowClient
) -> None:
    _, path = commands.spec("named", {**SLOW_SPEC, "epochs": 1000})
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2})
    try:
        commands.environment["RAY_ADDRESS"] = address = cluster.address
        process = commands.start("run", path)
        wait_until(lambda: epochs_of(client, "named") > 0)
        cluster.head_node.kill_all_processes(check_alive=False, allow_graceful=False)
        told = finish(process, 3)  # Ray waits a minute for its gcs_server
    finally:
        cluster.shutdown()
    assert f"The Ray cluster at {address} (RAY_ADDRESS) has ended" in told
    assert "Traceback" not in told
    runs = [client.get_run(run) for run in trials_of(client, "named", SLOW)]
    assert {run.info.status for run in runs} == {"KILLED"}
