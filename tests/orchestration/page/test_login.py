"""Behind MLflow's own login: nothing without it, and of the sweeps what MLflow lets each see."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import quote

import pytest
import requests
from driving import driving
from login_server import ADMIN, Server, logged_in, login_server
from mlflow import MlflowClient
from recorded import Recorder
from whole_sweep import record_digits

from orchestration.execution.local_sweeps import log_path
from orchestration.progress.event_log import FileLog
from orchestration.progress.events import Note
from orchestration.reading.listed import recorded_sweeps
from services.settings import Settings

WRITER = ("writer", "writer's-own-1")
READER = ("reader", "reader's-own-1")
STRANGER = ("stranger", "stranger's-own-1")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with login_server(tmp_path_factory.mktemp("login")) as server, logged_in(ADMIN):
        for user in (WRITER, READER, STRANGER):
            server.add_user(*user)
        for name in ("open", "closed"):
            experiment, parent = record_digits(server.uri, name, 1)
            MlflowClient(server.uri).set_tag(parent, "snn_sweep.status", "running")
            permission = "READ" if name == "open" else "DENY"
            rights = {READER[0]: permission, WRITER[0]: "EDIT", STRANGER[0]: "DENY"}
            for person, may in rights.items():
                server.post(
                    "3.0/mlflow/users/permissions/grant", username=person, permission=may,
                    resource_type="experiment", resource_id=experiment,
                )  # fmt: skip
        yield server


@pytest.mark.parametrize("page", ["sweeps", "sweeps/open", "sweeps/open/changes", "sweeps/nothing"])
@pytest.mark.parametrize("user", [None, ("reader", "guessed"), ("nobody", "reader's-own-1")])
def test_no_page_without_a_login(server: Server, page: str, user: tuple[str, str] | None) -> None:
    reply = requests.get(f"{server.uri}/{page}", auth=user, timeout=60)
    assert reply.status_code == 401
    assert reply.headers["www-authenticate"].startswith("Basic")
    assert "open" not in reply.text
    for act in ("stop", "seeds"):
        reply = requests.post(f"{server.uri}/sweeps/open/{act}", auth=user, timeout=60)
        assert reply.status_code == 401


def test_everyone_sees_the_sweeps_that_mlflow_lets_him_see(server: Server) -> None:
    assert "/sweeps/closed" in server.get("sweeps", WRITER)
    assert 'sweep="closed"' in server.get("sweeps?format=prometheus", WRITER)
    numbers = server.get("sweeps?format=prometheus", READER)
    assert 'sweep="open"' in numbers
    assert "closed" not in numbers
    seen = server.get("sweeps", READER)
    assert "/sweeps/open" in seen
    assert "closed" not in seen
    assert "closed" not in server.get("sweeps/open", READER)  # nor in its list to compare with
    pages = ("", "/table.csv", "/changes", "/layers", "/report")
    for page in (f"sweeps/closed{page}" for page in pages):
        assert "open" not in server.get(page, READER, 404)
    server.get("sweeps/open/compare?with=closed", READER, 404)


def test_list_asks_the_server_as_its_user(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("orchestration.reading.listed.all_sweeps")  # nothing else is read
    for (name, password), hidden in ((READER, {"closed"}), (WRITER, set())):
        monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
        monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)
        seen = {sweep.name for sweep in recorded_sweeps(server.uri)}  # other tests record more
        assert {"open", "closed"} - seen == hidden


def test_who_may_write_may_stop_and_a_reader_may_not(server: Server) -> None:
    assert "Stop it" in server.get("sweeps/open", WRITER)
    assert "Stop it" in server.get("sweeps/open", ADMIN)
    assert "More seeds" in server.get("sweeps/open", WRITER)
    for act in ("Stop it", "More seeds"):
        assert act not in server.get("sweeps/open", READER)
    for act in ("stop", "seeds"):
        reply = server.act("sweeps/open", act, READER)
        assert reply.status_code == 403
        assert "may not" in reply.text


def test_an_unknown_name_tells_no_hidden_one(server: Server) -> None:
    """Asked for by an experiment of one's own, which is no sweep and has an old name of one."""
    client = MlflowClient(server.uri)
    experiment, _ = record_digits(server.uri, "earlier", 1)
    client.rename_experiment(experiment, "closed, once earlier")
    for user in (STRANGER, READER):  # another test has its reader see nothing that is closed
        server.post(
            "3.0/mlflow/users/permissions/grant", username=user[0], permission="DENY",
            resource_type="experiment", resource_id=experiment,
        )  # fmt: skip
    for name in ("earlier", "no sweep"):
        client.create_experiment(name)
        for page in (
            "",
            "/changes",
            "/layers",
            "/report",
            "/table.csv",
            "/compare?with=headline-published",
        ):
            said = server.get(f"sweeps/{quote(name)}{page}", STRANGER, 404)
            assert "closed" not in said, page
            assert "there is no such sweep" in said


def test_the_name_of_ones_own_experiment_leads_to_no_other_sweep(
    server: Server, request: pytest.FixtureRequest
) -> None:
    """A stranger, who may create experiments, has some that look like a sweep that runs."""
    names = ("./closed", "closed/", "zzz/closed", "x/../closed")
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(server.home)})
    FileLog(log_path(settings, "closed"))(Note("what only its readers may know"))
    with driving(server.home, "closed") as driver:
        for name in names:
            with logged_in(STRANGER):
                recorder = Recorder(server.uri)
                experiment, parent = recorder.sweep(name, json.dumps({"name": name}))
                request.addfinalizer(  # another test looks for the name of the sweep on the pages
                    partial(server.post, "2.0/mlflow/experiments/delete", experiment_id=experiment)
                )
                recorder.client.set_tag(parent, "snn_sweep.status", "running")
        pages = [f"sweeps/{quote(name, safe='')}" for name in names]
        seen = server.get("sweeps", STRANGER)
        assert all(name in seen for name in names)
        asked = ["sweeps", *pages, *(f"{page}/changes" for page in pages)]
        with ThreadPoolExecutor() as pool:  # at once, as the changes of a page go on for 25 s
            for said in pool.map(lambda page: server.get(page, STRANGER), asked):
                assert f"process {driver.pid}" not in said
                assert "what only its readers may know" not in said
        for page, act in itertools.product(pages, ("stop", "seeds")):
            refusal = server.act(page, act, STRANGER)
            assert refusal.status_code == 409
            assert "must not hold / or" in refusal.text
        assert driver.poll() is None
        # The sweep itself has all of that.
        page = server.get("sweeps/closed", WRITER)
        assert f"process {driver.pid}" in page
        assert "what only its readers may know" in page
        assert server.act("sweeps/closed", "stop", WRITER).status_code == 303
        assert driver.wait(60) == 0


def test_mlflow_itself_is_as_it_was(server: Server) -> None:
    server.get("api/2.0/mlflow/experiments/search?max_results=1", None, 401)
    server.get("api/2.0/mlflow/experiments/search?max_results=1", READER)
    assert "MLflow" in server.get("", READER)
    changes = f"{server.uri}/sweeps/open/changes"
    with requests.get(changes, auth=READER, stream=True, timeout=180):
        server.get("health", None)  # while the stream of changes is open
