from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import sqlalchemy
import stamina
from homes import settings_in
from mlflow import MlflowClient
from web import web_server

from services import server, tracking
from services.mlflow_process import Order
from services.settings import Settings, SettingsError
from services.tracking import (
    ServiceError,
    find_server,
    home_database,
    reading_uri,
    start_server,
    stop_server,
    tracking_server,
    without_server,
)


def _record(settings: Settings) -> server.Server:
    record = server.load(settings.home / "tracking")
    assert record is not None
    return record


# A server that `up` has started


def test_up_finds_its_own_server(kept: Settings) -> None:
    uri = find_server(kept)
    assert uri is not None
    assert uri.startswith("http://127.0.0.1:")
    assert start_server(kept) == reading_uri(kept) == uri


def test_a_server_that_runs_is_not_pulled_from_under_its_users(kept: Settings) -> None:
    with (
        pytest.raises(ServiceError, match="is running: stop it first, with snn-sweep down"),
        without_server(kept),
    ):
        pass


def test_a_sweep_uses_the_kept_server_and_leaves_it(kept: Settings) -> None:
    with tracking_server(kept) as uri:
        assert uri == find_server(kept)
    assert find_server(kept) == uri


def test_runs_and_artifacts_go_through_any_home(kept: Settings, tmp_path: Path) -> None:
    client = MlflowClient(find_server(kept))
    run = client.create_run(client.create_experiment("été"))
    client.log_metric(run.info.run_id, "accuracy", 0.5)
    client.log_text(run.info.run_id, "ça va", "a file é.txt")
    copy = client.download_artifacts(run.info.run_id, "a file é.txt", str(tmp_path))
    assert Path(copy).read_text(encoding="utf-8") == "ça va"
    inside = [path.name for path in (kept.home / "tracking" / "artifacts").rglob("*.txt")]
    assert inside == ["a file é.txt"]


def test_the_server_has_its_own_session(kept: Settings) -> None:
    pid = _record(kept).pid
    assert os.getsid(pid) == pid != os.getsid(0)


def test_the_server_listens_on_loopback_only(kept: Settings) -> None:
    record = _record(kept)
    listening = {
        tuple(connection.laddr)
        for process in record.living()
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {("127.0.0.1", record.port)}


def test_up_on_another_database_is_refused(kept: Settings, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    with pytest.raises(ServiceError, match=r"another database.*snn-sweep down"):
        start_server(kept, f"sqlite:///{other}")
    assert not other.exists()
    assert find_server(kept) is not None


def test_the_database_of_the_homes_server_can_be_read_beside_it(
    kept: Settings, tmp_path: Path
) -> None:
    MlflowClient(find_server(kept)).create_experiment("read beside")
    url = home_database(kept)
    assert url is not None
    with sqlalchemy.create_engine(url).connect() as connection:
        names = set(connection.scalars(sqlalchemy.text("SELECT name FROM experiments")))
    assert "read beside" in names

    uri = find_server(kept)
    assert uri is not None
    named = settings_in(kept.home, MLFLOW_TRACKING_URI=uri)
    assert home_database(named) is None, "nobody has said which it is"
    elsewhere = replace(kept, database_url="sqlite:///of-another-server.db")
    assert home_database(elsewhere) == url, "what results are read from may be another's"

    other = settings_in(tmp_path / "home")
    assert home_database(other) is None
    folder = other.home / "tracking"
    folder.mkdir(parents=True)
    server.save(folder, replace(_record(kept), database="another's"))
    assert home_database(other) is None


def test_a_proxy_does_not_come_between(kept: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "example.org")
    with tracking_server(kept) as uri:
        assert MlflowClient(uri).search_experiments()
    assert os.environ["no_proxy"] == "example.org,127.0.0.1,localhost"


def test_the_users_server_is_used_and_never_stopped(kept: Settings, tmp_path: Path) -> None:
    uri = find_server(kept)
    assert uri is not None
    named = settings_in(tmp_path / "home", MLFLOW_TRACKING_URI=uri)
    with tracking_server(named) as used:
        assert used == reading_uri(named) == uri
    assert not stop_server(named)
    assert find_server(kept) == uri
    assert not named.home.exists()


# Starting, sharing, dying

_USER = """
import sys
from services.settings import Settings
from services.tracking import tracking_server
with tracking_server(Settings.from_environment()) as uri:
    print(uri, flush=True)
    sys.stdin.readline()
"""


@contextmanager
def _user(settings: Settings) -> Iterator[subprocess.Popen[str]]:
    """Another process that uses a tracking server until it is told to leave."""
    environment = {**os.environ, "SNN_SWEEP_HOME": str(settings.home), "MLFLOW_TRACKING_URI": ""}
    with subprocess.Popen(
        [sys.executable, "-c", _USER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _uri_of(user: subprocess.Popen[str]) -> str:
    assert user.stdout is not None
    return user.stdout.readline().strip()


def _leave(user: subprocess.Popen[str]) -> None:
    user.communicate("\n", timeout=60)
    assert user.returncode == 0


def test_users_at_once_share_one_server_which_goes_with_the_last(settings: Settings) -> None:
    with _user(settings) as first, _user(settings) as second, _user(settings) as third:
        uri = _uri_of(first)
        assert uri == _uri_of(second) == _uri_of(third) == find_server(settings)
        first.kill()
        first.wait()
        _leave(second)
        assert find_server(settings) == uri
        record = _record(settings)
        assert record.living()
        _leave(third)  # what the killed one held, the kernel has dropped
    assert find_server(settings) is None
    assert record.living() == []


def test_a_killed_server_is_replaced_on_its_port(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One that the system gives nobody who asks for any: other tests would take it meanwhile.
    monkeypatch.setattr(server, "_PREFERRED_PORT", 20_000 + os.getpid() % 10_000)
    with tracking_server(settings) as uri:
        experiment = MlflowClient(uri).create_experiment("before")
        os.killpg(_record(settings).pid, signal.SIGKILL)
        _wait_until(lambda: find_server(settings) is None)
        offline = reading_uri(settings)
        assert offline is not None
        assert offline.startswith("sqlite:///")
        assert MlflowClient(offline).get_experiment(experiment).name == "before"

        assert start_server(settings) == uri
        assert MlflowClient(uri).get_experiment(experiment).name == "before"
    assert find_server(settings) == uri, "kept by start_server, although its first user has left"
    assert stop_server(settings)
    assert not stop_server(settings)


def test_a_server_killed_while_it_creates_its_database_leaves_none(settings: Settings) -> None:
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    process = server.prepare()
    assert process.stdin is not None
    order = Order(str(folder), "log", {"MLFLOW_BACKEND_STORE_URI": server.DEFAULT_DATABASE}, [])
    order.send(process.stdin)
    _wait_until(lambda: (folder / "mlflow.db.partial").exists())
    process.kill()
    process.wait()
    assert not (folder / "mlflow.db").exists()
    assert MlflowClient(start_server(settings)).get_experiment("0").name == "Default"
    assert not (folder / "mlflow.db.partial").exists()


def test_a_server_that_was_stopped_is_started_on_its_port(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, ports = settings.home / "tracking", list[int | None]()

    def launch(*_: object, port: int | None, **__: object) -> server.Server:
        ports.append(port)
        return server.Server(0, (), 40_000, kept=True, database="")

    monkeypatch.setattr(server, "launch", launch)
    start_server(settings)
    server.save(folder, server.Server(0, (), 40_000, kept=True, database=""))
    assert not stop_server(settings)
    start_server(settings)
    assert ports == [None, 40_000]


# What cannot be reached


def test_an_unreachable_server_says_what_to_do(tmp_path: Path) -> None:
    uri = f"http://user:s3cret@127.0.0.1:{_closed_port()}"
    settings = settings_in(tmp_path / "home", MLFLOW_TRACKING_URI=uri)
    with pytest.raises(ServiceError) as caught, tracking_server(settings):
        pytest.fail("entered")
    message = str(caught.value)
    assert "unset MLFLOW_TRACKING_URI" in message
    assert f"user:***@127.0.0.1:{_port_in(uri)}" in message
    assert "s3cret" not in message
    assert not settings.home.exists()


@pytest.mark.parametrize("status", [401, 404, 302])
def test_any_answer_below_500_is_a_server(tmp_path: Path, status: int) -> None:
    with web_server(status) as port:
        uri = f"http://127.0.0.1:{port}/mlflow"
        settings = settings_in(tmp_path / "home", MLFLOW_TRACKING_URI=uri)
        with tracking_server(settings) as used:
            assert used == uri


def test_a_gateway_without_a_server_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    ask = tracking._problem_with
    monkeypatch.setattr(tracking, "_problem_with", lambda uri: asked.append(uri) or ask(uri))
    with web_server(503) as port, stamina.set_testing(True, attempts=3):
        uri = f"http://127.0.0.1:{port}"
        settings = settings_in(tmp_path / "home", MLFLOW_TRACKING_URI=uri)
        with pytest.raises(ServiceError, match="503"):
            reading_uri(settings)
    assert asked == [uri] * 3


def test_an_unreachable_database_creates_nothing(settings: Settings) -> None:
    url = f"postgresql://user:s3cret@127.0.0.1:{_closed_port()}/mlflow"
    with pytest.raises(ServiceError, match="user:\\*\\*\\*@") as caught:
        start_server(settings, url)
    assert "s3cret" not in str(caught.value)
    assert not settings.home.exists()


@pytest.mark.parametrize("content", [None, "no database at all, but long enough to be looked at"])
def test_a_file_that_is_no_database_is_refused(
    settings: Settings, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "folder" / "x.db"
    if content is not None:
        file.parent.mkdir()
        file.write_text(content * 20)
    with pytest.raises(ServiceError, match="database"):
        start_server(settings, f"sqlite:///{file}")
    assert not settings.home.exists()


def test_a_wrong_database_url_creates_nothing(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="--database"):
        start_server(settings, "mysql://user:pw@host/db")
    assert not settings.home.exists()


def test_looking_creates_nothing(settings: Settings) -> None:
    assert find_server(settings) is None
    assert reading_uri(settings) is None
    assert not stop_server(settings)
    assert not settings.home.exists()


def test_a_home_that_cannot_be_made_is_a_setting_to_change(tmp_path: Path) -> None:
    settings = settings_in(tmp_path / "home")
    (tmp_path / "home").touch()  # in the meantime
    with pytest.raises(SettingsError, match="SNN_SWEEP_HOME"):
        start_server(settings)


def test_reading_through_the_database_file_leaves_no_traces(
    kept: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    copy = settings_in(tmp_path / "home")
    (copy.home / "tracking").mkdir(parents=True)
    file = copy.home / "tracking" / "mlflow.db"
    file.write_bytes((kept.home / "tracking" / "mlflow.db").read_bytes())
    assert MlflowClient(reading_uri(copy)).search_experiments()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _port_in(uri: str) -> str:
    return uri.rsplit(":", 1)[1]


def _wait_until(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)
