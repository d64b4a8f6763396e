"""More seeds from a sweep's page: what is refused, and that nothing is started then; what runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any
from urllib.parse import quote

import pytest
import requests
from commands import USERS_FOLDER, wait_until
from mlflow import MlflowClient
from own_sweep import CONTENT, record
from recorded import RecordedTrial, Recorder
from served import served
from specs import SLOW_SPEC

from orchestration import SweepSpec
from orchestration.errors import SweepError
from orchestration.execution.command_note import CommandNote, note_command
from orchestration.execution.local_sweeps import LocalSweeps
from orchestration.page import acting
from orchestration.page.acting import OnCluster
from orchestration.page.read import Reader
from orchestration.progress.events import Note, Planned
from orchestration.reading.sql import SqlSource
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from orchestration.sweep.more_seeds import with_more_seeds
from orchestration.sweep.plan import Plan
from services.settings import Settings

NOTHING = Plan((), (), (), (), (), (), (), ())


def ask(
    url: str, count: str = "1", ready: Callable[[], object] = lambda: None, **more: Any
) -> requests.Response:
    """Give a sweep more seeds as its page does, once whatever is called says that it is time."""
    with requests.Session() as browser:
        page = browser.get(url, timeout=60).text
        token = page.partition('name="token" value="')[2].partition('"')[0]
        origin = url.partition("/sweeps")[0]
        form = {"token": token, "count": count, **more}
        ready()
        return browser.post(f"{url}/seeds", data=form, headers={"origin": origin}, timeout=200)


class Machine:
    """A home from which sweeps were run in a folder, and a database that they are recorded in."""

    def __init__(self, uri: str, home: Path, folder: Path) -> None:
        self.uri, self.home, self.folder = uri, home, folder
        self.settings = Settings.from_environment({"SNN_SWEEP_HOME": str(home)})

    def record(self, name: str, **changes: Any) -> SweepSpec:
        record(self.uri, name, **changes)
        return SweepSpec.from_json(json.dumps({**CONTENT, "name": name, **changes}))

    def note(self, spec: SweepSpec, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(self.folder)
        watch = note_command(self.settings, spec)
        watch(Note("something else"))
        assert CommandNote.of(self.settings, spec.name) is None
        watch(Planned(NOTHING))

    def refusal(self, name: str, count: str = "1") -> str:
        with served(SqlSource(self.uri), self.home) as address:
            reply = ask(f"{address}/{quote(name)}", count)
        assert reply.status_code == 409, reply.text
        logs = self.home / "logs" / name
        left = {path.name for path in logs.iterdir()} if logs.exists() else set()
        assert left <= {"command.json", "seeds.lock"}  # no spec was written, and nothing started
        return reply.text.replace("&#39;", "'")


@pytest.fixture
def machine(sqlite_database: Callable[[], str], tmp_path: Path) -> Machine:
    home, folder = tmp_path / "home", tmp_path / "a folder"
    (home / "tracking").mkdir(parents=True)
    folder.mkdir()
    # Where the home's server has it.
    database = home / "tracking" / "mlflow.db"
    shutil.move(sqlite_database().removeprefix("sqlite:///"), database)
    return Machine(f"sqlite:///{database}", home, folder)


def test_a_sweep_that_was_run_elsewhere(machine: Machine) -> None:
    machine.record("away")
    assert "was not run from the server's machine" in machine.refusal("away")


def test_a_spec_on_record_that_is_not_the_one_that_was_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever may write to an experiment may write any spec there."""
    spec = machine.record("changed")
    machine.note(spec, monkeypatch)
    forged = {**json.loads(spec.to_json()), "train": "shutil:rmtree"}
    text = SweepSpec.from_json(json.dumps(forged)).to_json()
    Recorder(machine.uri).parent("1", "changed", text)
    assert "is not the one that was last run" in machine.refusal("changed")


def test_a_sweep_that_runs(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.note(machine.record("runs"), monkeypatch)
    client = MlflowClient(machine.uri)
    (parent,) = client.search_runs(["1"], "tags.`snn_sweep.role` = 'sweep'")
    client.set_tag(parent.info.run_id, "snn_sweep.status", "running")
    assert "it is running" in machine.refusal("runs")


@pytest.mark.parametrize("count", ["0", "-1", "1.5", "x", "", "101", "9" * 500, "9" * 5000])
def test_a_number_that_cannot_be_meant(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, count: str
) -> None:
    machine.note(machine.record("many"), monkeypatch)
    said = machine.refusal("many", count)
    assert f"must be a whole number from 1 to 100, got {count!r:.70}" in said


_COMMAND = """
import json, sys, time
from pathlib import Path
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from services.settings import Settings
time.sleep(1)
if sys.argv[1] == "plan":
    print(json.dumps({"reuse": 12 * [0], "copy": []}))
else:
    spec = Path(sys.argv[2])
    print(json.loads(spec.read_text())["seeds"], flush=True)
    with sweep_lease(sweep_storage(Settings.from_environment(), "twice"), "twice"):
        while not spec.with_name("end").exists():
            time.sleep(0.1)
"""
"""In place of the command: plans, and drives the sweep until it is told to end."""


def test_of_two_who_add_seeds_at_once_one_is_refused(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(acting, "_MAIN", _COMMAND)
    spec = machine.record("twice")
    machine.note(spec, monkeypatch)
    client = MlflowClient(machine.uri)
    (parent,) = client.search_runs(["1"], "tags.`snn_sweep.role` = 'sweep'")
    client.set_tag(parent.info.run_id, "snn_sweep.status", "running")
    with sweep_lease(sweep_storage(machine.settings, "twice"), "twice"):
        pass  # its driver has died since
    output = machine.home / "logs" / "twice" / "output.txt"
    with served(SqlSource(machine.uri), machine.home) as address, ThreadPoolExecutor() as browsers:
        try:
            both = list(browsers.map(ask, 2 * [f"{address}/twice"], "12", 2 * [Barrier(2).wait]))
            assert sorted(reply.status_code for reply in both) == [200, 409]
            (refusal,) = (reply.text for reply in both if reply.status_code == 409)
            assert "somebody else has just given it more seeds" in refusal
            wait_until(lambda: output.read_text() != "")
            said, seeds = output.read_text(), spec.seed_order()
            assert json.loads(said)[: len(seeds)] == [*seeds]
            assert ask(f"{address}/twice").status_code == 409
            assert output.read_text() == said
        finally:
            output.with_name("end").touch()


def test_code_of_the_users_own_that_is_not_there(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.note(machine.record("lost"), monkeypatch)
    assert "nowhere_at_all" in machine.refusal("lost")


def test_code_that_has_changed_since(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    (machine.folder / "mine.py").write_text("def train(config, device, state):\n    yield {}\n")
    machine.note(machine.record("other code", train="mine:train"), monkeypatch)
    assert "12 finished trials would be trained again" in machine.refusal("other code")


def test_a_form_of_another_page(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.note(machine.record("forged"), monkeypatch)
    with served(SqlSource(machine.uri), machine.home) as address:
        assert ask(f"{address}/forged", token="guessed").status_code == 403
        token = {"snn-sweep-token": "x"}
        for origin, more in (
            ("http://[::1", b""),
            (address.partition("/sweeps")[0], 20_000 * b"y"),
        ):
            form = iter([b"token=x&count=0&more=" + more])  # of no length that is told first
            headers = {"origin": origin, "content-type": "application/x-www-form-urlencoded"}
            url = f"{address}/forged/seeds"
            reply = requests.post(url, form, headers=headers, cookies=token, timeout=60)
            assert reply.status_code == 403
        assert requests.get(f"{address}/forged/seeds", timeout=60).status_code == 404


def test_what_is_noted_of_a_command(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    machine.settings = Settings.from_environment(
        {
            "SNN_SWEEP_HOME": str(machine.home),
            "MLFLOW_TRACKING_URI": "https://me:secret@lab.example/mlflow",
            "SNN_SWEEP_STORAGE": "s3://bucket/sweeps",
        }
    )
    spec = machine.record("noted")
    machine.note(spec, monkeypatch)
    note = CommandNote.of(machine.settings, "noted")
    assert note is not None
    assert (note.spec, note.folder) == (spec.to_json(), str(machine.folder))
    assert note.environment["MLFLOW_TRACKING_URI"] == "https://lab.example/mlflow"
    assert note.environment["SNN_SWEEP_STORAGE"] == "s3://bucket/sweeps"


def test_a_cluster_is_sent_no_code_that_somebody_put_on_record(machine: Machine) -> None:
    machine.record("there")
    recorder = Recorder(machine.uri)
    ours = {
        "name": "another name",
        "dataset": "shutil:rmtree",
        "epochs": 1,
        "seeds": [1],
        "grid": [{"architecture": "ann", "norm": "none"}],
    }
    for name in ("there", "another name"):
        recorder.sweep(f"{name} recorded", SweepSpec.from_dict({**ours, "name": name}).to_json())
    recorder.sweep("shutil", SweepSpec.from_dict({**ours, "name": "shutil"}).to_json())
    reader, cluster = Reader(SqlSource(machine.uri)), OnCluster("http://127.0.0.1:1")
    for name, why in (
        ("there", "names code of its user's own .nowhere_at_all:Run."),
        ("another name recorded", "was begun as 'another name'"),
        ("shutil", "names code of its user's own .shutil:rmtree."),
    ):
        with pytest.raises(SweepError, match=why):
            cluster.more_seeds(reader.sweep(name), 1, {})


@pytest.mark.slow
def test_more_seeds_start_the_command_anew(
    tracking_uri: str, tracking_home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With code of the user's own, of which the further seeds have been trained before."""
    monkeypatch.syspath_prepend(USERS_FOLDER)
    name = f"grows {tmp_path.name}"
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(tracking_home)})
    content = {"name": name, **SLOW_SPEC, "epochs": 1, "seeds": [5], "keep": "none"}
    spec = SweepSpec.from_dict(content)
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    for trial in with_more_seeds(spec, 2).trials():
        done = RecordedTrial(trial.config.given(), [0.5], key=trial.key)
        recorder.trial(experiment, parent, done)
    monkeypatch.chdir(USERS_FOLDER)
    note_command(settings, spec)(Planned(NOTHING))
    url = f"{tracking_uri}/sweeps/{quote(name)}"
    page = requests.get(url, timeout=60).text
    assert "<strong>2 of 2</strong>" in page
    assert "Add them and start" in page
    assert ask(url, "2").url == url

    def tags() -> dict[str, str]:
        return dict(recorder.client.get_run(parent).data.tags)

    wait_until(lambda: json.loads(tags()["snn_sweep.spec"])["seeds"] == [5, 6, 7])
    wait_until(lambda: tags()["snn_sweep.status"] == "completed")
    wait_until(lambda: LocalSweeps(settings).drivers([name]) == {name: "nobody"})
    assert "<strong>6 of 6</strong>" in requests.get(url, timeout=60).text
    note = CommandNote.of(settings, name)
    assert note is not None
    assert json.loads(note.spec)["seeds"] == [5, 6, 7]
    assert note.folder == str(USERS_FOLDER)
