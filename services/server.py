"""Starts, recognises and stops one MLflow server in a process of its own.

All its files are in one folder: ``server.json`` (its processes and port), ``server.log``,
``mlflow.db``, ``artifacts`` and ``port``, that of the last server that was stopped. This module
takes no locks; its callers in ``tracking`` do.

The server outlives the command that started it, so its processes are identified by pid and time of
creation: another program that has got one of its pids is never mistaken for the server.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from services.errors import ServiceError
from services.mlflow_process import Order
from services.settings import without_password

if TYPE_CHECKING:
    import psutil

# psutil, requests and, in ``tracking``, SQLAlchemy are imported only when they are used, as most
# commands find no server.

DEFAULT_DATABASE = "sqlite:///mlflow.db"
"""Relative to the server's folder, whose name may hold characters that a URL must not."""

Prepared = subprocess.Popen[bytes]
"""A process that becomes a server; see `prepare`."""

_HOST = "127.0.0.1"
_APP = "snn-sweep"  # MLflow with the pages of sweeps, an entry point of this package
_PREFERRED_PORT = 5000  # MLflow's own
_START_SECONDS = 120.0  # about 5 on an idle machine; a new PostgreSQL schema takes longer
_STOP_SECONDS = 10.0
_CLOCK_SECONDS = 2.0  # a process's time of creation is rounded differently from time to time


@dataclass(frozen=True)
class Server:
    """A server that was started on this machine.

    Attributes:
        pid: its first process, which leads its process group.
        processes: the pid and time of creation (seconds since 1970) of each of its processes.
        port: its port on the loopback interface.
        kept: whether it continues to run when its last user ends.
        database: the digest of its database's URL without the password.
    """

    pid: int
    processes: tuple[tuple[int, float], ...]
    port: int
    kept: bool
    database: str

    @property
    def uri(self) -> str:
        """The tracking URI."""
        return f"http://{_HOST}:{self.port}"

    def living(self) -> list[psutil.Process]:
        """Its processes that still run, without other programs that have got one of its pids.

        A zombie whose threads have not ended counts, as they still hold its port.
        """
        import psutil

        living = []
        for pid, created in self.processes:
            with suppress(psutil.Error):
                process = psutil.Process(pid)
                same = abs(process.create_time() - created) < _CLOCK_SECONDS
                ended = process.status() == psutil.STATUS_ZOMBIE and process.num_threads() < 2
                if same and not ended:
                    living.append(process)
        return living

    def answers(self, timeout: float = 5.0) -> bool:
        """Whether it answers an HTTP request within the timeout, in seconds."""
        import requests

        with requests.Session() as session:
            session.trust_env = False  # a proxy cannot reach this machine's loopback interface
            try:
                return session.get(f"{self.uri}/health", timeout=timeout).ok
            except requests.RequestException:
                return False

    def serves(self, database: str) -> bool:
        """Whether its database has this URL; passwords are not compared."""
        return self.database == _digest(database)


# The processes that this one has started. They are held so that Popen does not warn of those that
# outlive a command, and reaped when they are stopped.
_children: list[subprocess.Popen[bytes]] = []


def load(folder: Path) -> Server | None:
    """The server that the folder's ``server.json`` describes, whether it runs or not."""
    try:
        record = json.loads((folder / "server.json").read_text(encoding="utf-8"))
        record["processes"] = tuple((int(pid), float(at)) for pid, at in record["processes"])
        return Server(**record)
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save(folder: Path, server: Server) -> None:
    """Write ``server.json`` atomically."""
    written = folder / "server.json.partial"
    written.write_text(json.dumps(asdict(server)), encoding="utf-8")
    written.replace(folder / "server.json")


def launch(
    folder: Path,
    database: str,
    *,
    kept: bool,
    port: int | None = None,
    prepared: Prepared | None = None,
) -> Server:
    """Start a server, record it and wait until it answers.

    Args:
        folder: an existing folder for its log, database and artifacts.
        database: the database's SQLAlchemy URL, relative to the folder for SQLite.
        kept: whether it continues to run when its last user ends.
        port: the preferred port; None is MLflow's own.
        prepared: what `prepare` returned; None to start a process now.

    Raises:
        ServiceError: it ended or did not answer within two minutes; has the end of its log.
    """
    wanted, log = port or _PREFERRED_PORT, folder / "server.log"
    for _ in range(3):  # another program may take the port before the server does
        last_lines = partial(_tail, log, _size(log), database)
        child, prepared = prepared or prepare(), None
        server = _spawn(folder, database, _free_port(wanted), kept, child)
        save(folder, server)
        try:
            problem = _wait_until_healthy(server, last_lines)
            if not problem:
                server = Server(**{**asdict(server), "processes": _family(server.pid)})
                save(folder, server)
                return server
        except BaseException:
            stop(folder, server)
            raise
        stop(folder, server)
        if not _port_was_taken(last_lines()):
            break
        wanted = 0
    raise ServiceError(
        f"The tracking server {problem}. The end of {log}:\n\n{last_lines()}\n\n"
        "Correct the problem and run the command again, or set MLFLOW_TRACKING_URI to a running "
        "server."
    )


def stop(folder: Path, server: Server) -> bool:
    """End the server with SIGTERM, then SIGKILL, and forget it; returns whether it was running."""
    was_running = bool(server.living())
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + _STOP_SECONDS
        if server.living():
            # As one of its processes still runs, the process group is still the server's.
            with suppress(ProcessLookupError):
                os.killpg(server.pid, number)
        while server.living() and time.monotonic() < deadline:
            time.sleep(0.05)
    for child in [child for child in _children if child.pid == server.pid]:
        with suppress(subprocess.TimeoutExpired):  # a zombie's last threads may take a moment
            child.wait(_STOP_SECONDS)
            _children.remove(child)
    (folder / "port").write_text(str(server.port), encoding="utf-8")
    (folder / "server.json").unlink(missing_ok=True)
    return was_running


def last_port(folder: Path) -> int | None:
    """The port of the last server that was stopped; None if there was none."""
    try:
        return int((folder / "port").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def prepare() -> Prepared:
    """Start a process that imports MLflow, and becomes a server once `launch` is called with it.

    It creates nothing before, and ends when its standard input is closed.
    """
    own = {k: v for k, v in os.environ.items() if not k.lstrip("_").startswith("MLFLOW_")}
    return subprocess.Popen(
        # -P: modules of the user's current folder would take precedence over MLflow's.
        [sys.executable, "-P", "-m", "services.mlflow_process"],
        env=own | {"MLFLOW_DISABLE_TELEMETRY": "true"},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in the terminal must not stop it
    )


def dismiss(prepared: Prepared) -> None:
    """End a prepared process that has not become a server."""
    assert prepared.stdin is not None
    if not prepared.stdin.closed:
        prepared.kill()
        prepared.communicate()


def _spawn(folder: Path, database: str, port: int, kept: bool, child: Prepared) -> Server:
    workers = "1" if database.startswith("sqlite") else "2"
    arguments = ["server", "--host", _HOST, "--port", str(port), "--workers", workers]
    arguments += ["--artifacts-destination", "./artifacts", "--app-name", _APP]
    # Logged requests of a long sweep would fill the disk. Without the timeout, open pages that wait
    # for changes would delay the server's stop.
    arguments += ["--uvicorn-opts", "--no-access-log --timeout-graceful-shutdown 3"]
    # The logs and leases of this machine's sweeps are beside the folder.
    environment = _environment(database) | {"SNN_SWEEP_HOME": str(folder.absolute().parent)}
    assert child.stdin is not None
    with suppress(BrokenPipeError):  # it has ended, which is noticed below
        Order(str(folder), "server.log", environment, arguments).send(child.stdin)
    _children.append(child)
    return Server(child.pid, _family(child.pid), port, kept, _digest(database))


def _environment(database: str) -> dict[str, str]:
    """What a server has in its environment beside that of `prepare`."""
    tuning = {k: v for k, v in os.environ.items() if k.startswith("MLFLOW_SQLALCHEMYSTORE_")}
    ours = {
        "MLFLOW_BACKEND_STORE_URI": database,
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",  # it needs three processes, and is not used
    }
    if not database.startswith("sqlite"):
        # Each of a worker's 40 threads may hold a connection and need a second one: with fewer than
        # 41 connections they can deadlock. Two workers stay below PostgreSQL's limit of 100.
        ours |= {"MLFLOW_SQLALCHEMYSTORE_POOL_SIZE": "10"}
        ours |= {"MLFLOW_SQLALCHEMYSTORE_MAX_OVERFLOW": "35"}
    return ours | tuning


def _wait_until_healthy(server: Server, last_lines: Callable[[], str]) -> str:
    """Wait until the server answers; returns what went wrong, or an empty text."""
    deadline = time.monotonic() + _START_SECONDS
    while server.living():
        # With two workers the parent does not end, but starts both again forever.
        if _port_was_taken(last_lines()):
            return "found its port taken"
        # Another server may have the port, and would answer too.
        if server.answers() and _listens(server):
            return ""
        if time.monotonic() > deadline:
            return f"did not answer within {_START_SECONDS:.0f} s"
        time.sleep(0.1)
    return "ended while it was starting"


def _port_was_taken(log: str) -> bool:
    """Whether the log reports that; uvicorn and Python differ in the case of letters."""
    return "address already in use" in log.lower()


def _listens(server: Server) -> bool:
    import psutil

    for pid, _ in _family(server.pid):
        with suppress(psutil.Error):
            for connection in psutil.Process(pid).net_connections("tcp4"):
                listening = connection.status == psutil.CONN_LISTEN
                if listening and connection.laddr[1] == server.port:
                    return True
    return False


def _family(pid: int) -> tuple[tuple[int, float], ...]:
    """The pid and time of creation of a process and of all its descendants."""
    import psutil

    family = []
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (process, *process.children(recursive=True)):
            with suppress(psutil.Error):
                family.append((member.pid, member.create_time()))
    return tuple(family)


def _free_port(wanted: int) -> int:
    for port in (wanted, 0):
        with socket.socket() as probe, suppress(OSError):
            # The server sets this too: a port with closing connections counts as free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((_HOST, port))
            return int(probe.getsockname()[1])
    raise ServiceError("No port is free on the loopback interface.")


def _digest(database: str) -> str:
    return hashlib.sha256(without_password(database).encode()).hexdigest()


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _tail(log: Path, start: int, database: str) -> str:
    """The log's last lines since the start, without the database's password."""
    if not log.exists():  # the server writes it once it has its order
        return ""
    with log.open("rb") as file:
        file.seek(start)
        text = file.read().decode("utf-8", errors="replace")
    return without_secrets("\n".join(text.splitlines()[-15:]), database)


def without_secrets(text: str, database: str) -> str:
    """The text with every occurrence of a database URL's password masked."""
    password = urlsplit(database).password
    for secret in filter(None, (password, unquote(password or ""))):
        text = text.replace(secret, "***")
    return text
