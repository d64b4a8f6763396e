"""How a tracking server is started and recorded: its port, its process, its log."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from mlflow import MlflowClient
from web import web_server

from services import server
from services.errors import ServiceError
from services.settings import Settings
from services.tracking import find_server, stop_server


def test_a_taken_port_is_passed_over() -> None:
    with web_server(200) as port:
        assert server._free_port(port) != port
    assert server._free_port(port) == port


@pytest.mark.parametrize(
    "log",
    [
        "ERROR:    [Errno 98] error while attempting to bind on address: address already in use",
        "    sock.listen(self._backlog)\nOSError: [Errno 98] Address already in use",
    ],
)
def test_a_server_whose_port_was_taken_is_given_up_at_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, log: str
) -> None:
    """As two that start at once may both bind a port, and only one of them listen."""
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    spawned: list[int] = []

    def spawn(
        folder: Path, database: str, port: int, kept: bool, child: server.Prepared
    ) -> server.Server:
        spawned.append(port)
        if len(spawned) > 1:
            return real(folder, database, port, kept, child)
        server.dismiss(child)
        (folder / "server.log").write_text(log)
        process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        server._children.append(process)
        return server.Server(process.pid, server._family(process.pid), port, kept, "")

    real = server._spawn
    monkeypatch.setattr(server, "_spawn", spawn)
    started = server.launch(folder, server.DEFAULT_DATABASE, kept=False)
    assert started.port == spawned[1] != spawned[0]
    assert MlflowClient(started.uri).search_experiments()
    server.stop(folder, started)


def test_another_programs_server_is_not_taken_for_ours(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    with web_server(200) as port:
        ports = iter([port, 0])  # taken between the look and the server's own try
        free = server._free_port
        monkeypatch.setattr(
            server, "_free_port", lambda wanted: next(ports, None) or free(wanted and 0)
        )
        started = server.launch(folder, server.DEFAULT_DATABASE, kept=False)
        assert started.port != port
        assert MlflowClient(started.uri).search_experiments()
        server.stop(folder, started)


def test_a_recycled_pid_is_not_killed(settings: Settings) -> None:
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as stranger:
        try:
            created = psutil.Process(stranger.pid).create_time() - 3600
            record = server.Server(stranger.pid, ((stranger.pid, created),), 1, True, "")
            server.save(folder, record)
            assert find_server(settings) is None
            assert not stop_server(settings)
            assert stranger.poll() is None
        finally:
            stranger.kill()
    assert server.load(folder) is None


_HALF_DEAD = """
import ctypes, socket, sys, threading
listening = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=sys.stdin.read).start()
print(listening.getsockname()[1], flush=True)
ctypes.CDLL(None).pthread_exit(None)
"""


def test_a_killed_process_lives_until_its_last_thread_has_let_go_of_the_port() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HALF_DEAD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as half:
        assert half.stdin is not None
        assert half.stdout is not None
        port = int(half.stdout.readline())
        process = psutil.Process(half.pid)
        while process.status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
        record = server.Server(half.pid, server._family(half.pid), port, True, "")
        assert record.living()
        assert server._free_port(port) != port
        half.stdin.close()
        while record.living():
            time.sleep(0.01)
        assert server._free_port(port) == port


@pytest.mark.parametrize("text", ["", "{", "[]", '{"pid": 1}', "\x00"])
def test_a_broken_record_counts_as_none(settings: Settings, text: str) -> None:
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    (folder / "server.json").write_text(text)
    assert find_server(settings) is None
    assert not stop_server(settings)


def test_a_server_that_ends_at_once_shows_its_log(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # In Python's place a program that ends, and writes down what a stranger can see of it.
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    program = tmp_path / "python"
    arguments = tmp_path / "arguments"
    program.write_text(
        f'#!/bin/sh\necho "$@" > "{arguments}"\nenv >> "{arguments}"\nread -r order\n'
        f'echo "no $order" > "{folder}/server.log"\nexit 1\n'
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    with pytest.raises(ServiceError) as caught:
        server.launch(folder, "postgresql+psycopg://u:s3cr%40t@h/db", kept=True)
    message = str(caught.value)
    assert "postgresql+psycopg://u:***@h/db" in message
    assert "server.log" in message
    assert "s3cr" not in message + arguments.read_text()
    assert not (folder / "server.json").exists()


def test_the_record_holds_nothing_of_the_database(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = settings.home / "tracking"
    folder.mkdir(parents=True)
    seen = []
    monkeypatch.setattr(server, "save", lambda _, record: seen.append(record))
    monkeypatch.setattr(sys, "executable", "/bin/true")
    with pytest.raises(ServiceError):
        server.launch(folder, "postgresql+psycopg://user:s3cret@host/db", kept=True)
    assert seen
    assert not any(word in repr(seen) for word in ("s3cret", "user", "host"))
    assert seen[0].serves("postgresql+psycopg://user:changed@host/db")
    assert not seen[0].serves("postgresql+psycopg://user:s3cret@host/other")
