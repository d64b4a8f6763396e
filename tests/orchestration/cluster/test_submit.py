"""Sweeps submitted to a real Ray cluster on this machine, through its job server."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import psutil
import pytest
import yaml
from commands import USERS_FOLDER, Commands, commands_in, epochs_of, finish, free_port, wait_until
from ledger import Ledger, audit
from node_cluster import cluster_with_jobs
from proxy import Proxy
from specs import SLOW_SPEC

from orchestration import Results
from orchestration.cluster import bundle as submission
from orchestration.cluster.remote_sweeps import RemoteSweeps
from orchestration.cluster.supervisor import poll
from orchestration.errors import SweepError
from orchestration.page.acting import OnCluster
from orchestration.page.read import Reader
from orchestration.progress.event_log import Replay
from orchestration.progress.events import Event, Note
from orchestration.reading.rest import RestSource
from orchestration.record.client import connect
from orchestration.store.lease import holder, sweep_lease
from orchestration.store.open import open_storage
from orchestration.sweep.more_seeds import with_more_seeds
from services.jobs import Job, JobServer

STORE = "storage"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def job_server(tracking_uri: str, home: Path) -> Iterator[str]:
    """A cluster whose nodes know the tracking server; gives its job server's address."""
    with cluster_with_jobs(home, {"MLFLOW_TRACKING_URI": tracking_uri}) as address:
        yield address


@pytest.fixture
def outside(
    tracking_uri: str, tmp_path: Path, job_server: str, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Commands]:
    """Commands of a machine that shares nothing with the cluster but the addresses."""
    monkeypatch.syspath_prepend(USERS_FOLDER)
    with commands_in(tmp_path, tracking_uri, {"RAY_API_SERVER_ADDRESS": job_server}) as commands:
        yield commands


def output(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=200)
    assert process.returncode == 0, f"{out}\n{err}"
    return out


@pytest.mark.slow
@pytest.mark.release
def test_a_sweep_with_the_users_own_modules(outside: Commands, tracking_uri: str) -> None:
    spec, path = outside.spec("submitted", {**SLOW_SPEC, "epochs": 2})
    told = outside.run("submit", path, "--wait")
    assert "submitted submitted as sweep-submitted-1" in told
    assert "4 trials to run" in told
    assert "ann own_code:SlowNorm seed 1: epoch 2 of 2" in told
    assert audit(connect(tracking_uri), spec) == Ledger()
    assert "submitted: completed, 4 of 4 finished" in output(outside.start("status", "submitted"))
    assert "sweep-submitted-1 (SUCCEEDED" in output(outside.start("list"))
    log = output(outside.start("logs", "submitted"))
    assert "4 of 4 done" in log
    assert "job_manager" not in log
    # All is there: the second attempt has nothing to do.
    told = outside.run("submit", path, "--wait")
    assert "as sweep-submitted-2" in told
    assert "0 trials to run, 0 to resume, 4 finished before" in told


@pytest.mark.slow
def test_more_seeds_from_a_sweeps_page_are_submitted(
    outside: Commands, tracking_uri: str, job_server: str
) -> None:
    grid = [{"architecture": "ann", "norm": "none", "width": 4}]
    content = {"dataset": "digits", "epochs": 1, "seeds": [1], "grid": grid}
    spec, path = outside.spec("grows there", content)
    outside.run("submit", path, "--wait")
    reader, page = Reader(RestSource(tracking_uri)), OnCluster(job_server)
    with pytest.raises(SweepError, match="does not run: its last job"):
        page.stop(spec.name)
    page.more_seeds(reader.sweep(spec.name), 1, {})
    grown = with_more_seeds(spec, 1)
    wait_until(lambda: audit(connect(tracking_uri), grown) == Ledger())


@pytest.mark.slow
@pytest.mark.release
def test_seeds_until_decided_submitted_twice_are_decided_once(
    outside: Commands, tracking_uri: str
) -> None:
    client = connect(tracking_uri)
    content = {
        **SLOW_SPEC,
        "epochs": 2,
        "seeds": {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 4},
        "compare": [{"norm": ["own_code:SlowNorm", "none"]}],
    }
    spec, path = outside.spec("until-there", content)
    following = outside.start("submit", path, "--wait")
    wait_until(lambda: epochs_of(client, "until-there") > 0)
    assert "until-there is running already" in outside.run("submit", path)
    assert " of 1 comparisons decided · " in finish(following, 0)
    assert audit(client, spec) == Ledger()
    table = Results("until-there", tracking_uri=tracking_uri).decisions()
    told = outside.run("submit", path, "--wait")
    assert "0 trials to run, 0 to resume" in told
    again = Results("until-there", tracking_uri=tracking_uri).decisions()
    pd.testing.assert_frame_equal(again, table)


@pytest.mark.slow
@pytest.mark.release
def test_a_driver_that_dies_is_taken_up_again_and_one_that_is_stopped_is_not(
    outside: Commands, tracking_uri: str, home: Path, job_server: str
) -> None:
    client, store = connect(tracking_uri), open_storage(str(home / STORE))
    spec, path = outside.spec("kept", {**SLOW_SPEC, "epochs": 12})
    following = outside.start("submit", path, "--wait")
    wait_until(lambda: epochs_of(client, "kept") > 2)
    assert "kept is running already, as sweep-kept-1" in outside.run("submit", path)
    _, other = outside.spec("kept", {**SLOW_SPEC, "epochs": 13})
    assert "is running with another spec" in outside.run("submit", other, code=1)

    driver = holder(store.folder("kept"))
    assert driver is not None
    psutil.Process(driver.pid).kill()
    wait_until(lambda: "sweep-kept-1 (FAILED" in output(outside.start("list")))

    def taken_up() -> bool:
        poll(job_server, store)
        return "sweep-kept-2" in output(outside.start("list"))

    wait_until(taken_up)
    told = finish(following, 0)
    assert "the driver died" in told
    assert "4 of 4 done" in told
    assert audit(client, spec) == Ledger()
    poll(job_server, store)
    assert "sweep-kept-3" not in output(outside.start("list"))

    # Ray's stop signal is Ctrl-C: the books are closed, and nobody takes the sweep up.
    spec, path = outside.spec("kept", {**SLOW_SPEC, "epochs": 1000})
    with sweep_lease(store.folder("kept"), "kept"):
        told = outside.run("submit", path, code=1)
        assert "sweep-kept-3 ended before the sweep had begun (FAILED" in told
        assert "is being run by process" in output(outside.start("logs", "kept"))
    outside.run("submit", path)
    with submission.unpacked(store.folder("kept")) as submitted:
        assert submitted is not None, "a head that died now would take it along"
    wait_until(lambda: epochs_of(client, "kept") > 27)
    said = output(outside.start("stop", "kept"))
    assert "kept stopped; to continue: snn-sweep submit its spec" in said
    assert audit(client, spec).running == []
    poll(job_server, store)
    assert "sweep-kept-4 (STOPPED" in output(outside.start("list"))
    assert "does not run: its last job" in outside.run("stop", "kept", code=2)


_TELLS = """\
import sys, time
from orchestration.progress.event_log import StreamLog
from orchestration.progress.events import Note
for number in range(30):
    StreamLog(sys.stdout)(Note(str(number)))
    time.sleep(0.3)
print("its last words", end="")
"""


@pytest.mark.filterwarnings("ignore:ssl=None is deprecated")  # by aiohttp, which Ray's client uses
def test_who_follows_a_sweep_goes_on_when_the_head_was_away(
    job_server: str, tmp_path: Path
) -> None:
    job = Job(
        id="sweep-told-1", sweep="told", spec="", attempt=1, status="PENDING",
        started=None, ended=None, exit_code=None, message="",
    )  # fmt: skip
    (tmp_path / "tells.py").write_text(_TELLS)
    JobServer(job_server).start(job, f"{sys.executable} tells.py", tmp_path)
    told: list[str] = []
    with Proxy(int(job_server.rpartition(":")[2])) as proxy:

        def watch(event: Event) -> None:
            assert isinstance(event, Note)
            told.append(event.text)
            if event.text == "3":
                proxy.down()
                threading.Timer(2.0, proxy.up).start()

        there = RemoteSweeps(f"http://127.0.0.1:{proxy.port}")
        last = there.follow("told", Replay(), watch)
    assert (last.status, last.exit_code) == ("SUCCEEDED", 0)
    (away,) = (place for place, text in enumerate(told) if "the cluster does not answer" in text)
    assert told[:away] + told[away + 1 :] == [*map(str, range(30)), "its last words"]
    assert away > 2


def test_wrong_input_creates_nothing(outside: Commands, tracking_uri: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({"name": "wrong", **SLOW_SPEC, "epochs": 0}))
    assert "epochs" in outside.run("submit", str(path), code=2)
    assert "no cluster" not in outside.run("submit", str(path), code=2)
    told = outside.run("submit", "digits", "--cluster", "ray://127.0.0.1:10001", code=2)
    assert "Valid: http://host:8265" in told
    told = outside.run("submit", "digits", "--cluster", f"http://127.0.0.1:{free_port()}", code=3)
    assert "The job server at http://127.0.0.1:" in told
    assert "knows no job of a sweep 'absent'" in outside.run("logs", "absent", code=2)
    assert connect(tracking_uri).get_experiment_by_name("wrong") is None


@pytest.mark.slow
@pytest.mark.release
def test_the_log_of_a_sweep_that_runs_here(
    tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    with commands_in(tmp_path, tracking_uri) as commands:
        spec, path = commands.spec("logged", {**SLOW_SPEC, "epochs": 4})
        running = commands.start("run", path)
        log = tmp_path / "home" / "logs" / "logged" / "events.jsonl"
        wait_until(log.exists)
        followed = output(commands.start("logs", "logged", "-f"))
        finish(running, 0)
        assert "4 of 4 done" in followed
        assert output(commands.start("logs", "logged")) == followed
        assert "no log of a sweep 'absent'" in commands.run("logs", "absent", code=2)
    assert audit(connect(tracking_uri), spec) == Ledger()
