"""Keeps Ray ready for the next sweep of this home, which then starts its trials sooner.

    keep_ray(order)              # `up --warm`: a process starts Ray and waits for a sweep
    take_ray(order)              # a sweep: that process and a connection to it
    stop_ray(settings)           # `down`

The process is one of `ray_child`, whose workers have imported what trials need. It serves one
sweep and ends with it, so that no trial finds what an earlier one has left behind; the sweep lets
another process take its place. It waits at a socket in a folder that only its user can enter, from
its start on, so a sweep that follows at once gets a Ray that is about to be ready.
``ray.json`` in the home describes it, and whoever renames this file gets the process.
"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib.metadata import version
from multiprocessing.connection import Connection, wait
from pathlib import Path

import psutil

from orchestration.execution.ray_session import RayOrder, end_session, has_ended, start_session
from services.errors import ServiceError
from services.settings import Settings, SettingsError

_OF_TERMINALS = {
    "_", "COLUMNS", "LINES", "OLDPWD", "PWD", "SHLVL", "SSH_CLIENT", "SSH_CONNECTION", "SSH_TTY",
    "TERM", "TMUX", "TMUX_PANE", "WINDOWID", "SNN_SWEEP_WAIT_FOR_REPORT",
}  # fmt: skip
"""Variables that trials do not depend on."""


@dataclass(frozen=True)
class WarmRay:
    """A process that waits for a sweep.

    Args:
        created: when the process was created; another one may get its pid.
        address: the path of its socket.
        minutes: how long it waits.
        facts: digests of what trials depend on, by its description.
    """

    pid: int
    created: float
    address: str
    minutes: float
    facts: dict[str, str]

    def process(self) -> psutil.Process | None:
        """The process; None if it has ended."""
        with suppress(psutil.Error):
            process = psutil.Process(self.pid)
            if process.create_time() == self.created and not has_ended(process):
                return process
        return None


# The processes that this one has started. They are held so that Popen does not warn of those that
# outlive a command.
_children: list[psutil.Popen] = []


def find_ray(settings: Settings) -> WarmRay | None:
    """The process that waits for a sweep of this home; None if there is none."""
    warm = _read(_path(settings))
    return warm if warm is not None and warm.process() is not None else None


def keep_ray(order: RayOrder, *, until_ready: bool) -> None:
    """Start a process that keeps Ray for the next sweep, and this home's tracking server too.

    Args:
        order: how long it waits, and the circumstances that a sweep must share.
        until_ready: whether to return once Ray runs, or once the tracking server is kept.

    Raises:
        SettingsError: the settings name a cluster.
        ServiceError: Ray has not started.
    """
    if order.settings.ray_address is not None:
        raise SettingsError(
            "RAY_ADDRESS names a cluster, and --warm keeps a Ray of this machine: unset RAY_ADDRESS"
        )
    log = order.settings.home / "ray.log"
    with log.open("ab") as output:
        process, connection = start_session(order.environment, output.fileno())
    try:
        with connection:
            connection.send(order)
            for _ in range(2 if until_ready else 1):
                if isinstance(answer := connection.recv(), Exception):
                    raise ServiceError(str(answer))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        end_session(process)
        if find_ray(order.settings) is not None:
            return  # another process has been faster
        raise ServiceError(f"Ray has ended while it was starting; its log: {log}") from None
    except BaseException:
        end_session(process)
        raise
    _children.append(process)


@contextmanager
def offered(order: RayOrder) -> Iterator[socket.socket | None]:
    """Offer this process to the next sweep, which may connect while Ray is still starting.

    Yields the socket at which to `wait_for_sweep`; None if another process is offered already.
    """
    path, own = _path(order.settings), psutil.Process()
    if find_ray(order.settings) is not None:
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as folder, _listener(folder) as listener:
        address = listener.getsockname()
        warm = WarmRay(own.pid, own.create_time(), address, order.keep_minutes, _facts(order))
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(warm)), encoding="utf-8")
        partial.replace(path)
        try:
            yield listener
        finally:
            if _read(path) == warm:  # no sweep has taken it
                path.unlink(missing_ok=True)


def wait_for_sweep(listener: socket.socket, minutes: float) -> Connection | None:
    """The connection to the driver of the sweep that takes this process; None if none comes."""
    if not wait([listener], 60 * minutes):
        return None
    return Connection(listener.accept()[0].detach())


def take_ray(order: RayOrder) -> tuple[WarmRay, Connection] | str | None:
    """Take the process that waits for a sweep of this home.

    Returns:
        The process and a connection to it; why it was ended instead; or None if there is none.
    """
    warm = find_ray(order.settings)
    if warm is None or not _claim(order.settings):
        return None
    if problem := _problem(order, warm):
        _end(warm)
        return problem
    client = socket.socket(socket.AF_UNIX)
    try:
        client.connect(warm.address)
    except OSError:  # it has just ended, as its time was over
        client.close()
        return None
    return warm, Connection(client.detach())


def stop_ray(settings: Settings) -> bool:
    """End the process that waits for a sweep of this home; returns whether there was one."""
    warm = find_ray(settings)
    if warm is None or not _claim(settings):
        return False
    _end(warm)
    return True


def _problem(order: RayOrder, warm: WarmRay) -> str | None:
    """Why a sweep cannot use this process."""
    if not order.needs_one_core:
        return "a trial uses several cores"
    facts = _facts(order)
    different = sorted(
        what for what in {*facts, *warm.facts} if facts.get(what) != warm.facts.get(what)
    )
    return f"{', '.join(different)} changed" if different else None


def _facts(order: RayOrder) -> dict[str, str]:
    root = Path(__file__).parents[2]
    rooms = ("orchestration", "services", "snn_norm")
    newest = max(file.stat().st_mtime for room in rooms for file in (root / room).rglob("*.py"))
    known = {
        "the current folder": str(Path.cwd()),
        "Python's path": repr(order.path),
        "the settings": f"{order.settings.home} {order.settings.data} {order.settings.storage}",
        "the code of snn-norm": f"{version('snn-norm')} {newest}",
    }
    variables = order.environment.items()
    known |= {f"variable {name}": text for name, text in variables if name not in _OF_TERMINALS}
    return {what: hashlib.sha256(text.encode()).hexdigest() for what, text in known.items()}


def _listener(folder: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{folder}/socket")
    listener.listen(1)
    return listener


def _end(warm: WarmRay) -> None:
    """End a process in order, which also lets go of the tracking server."""
    if process := warm.process():
        with suppress(psutil.Error):
            process.terminate()
            process.wait(20)
        end_session(process)


def _claim(settings: Settings) -> bool:
    path = _path(settings)
    try:
        path.rename(path.with_suffix(f".{os.getpid()}"))
    except FileNotFoundError:  # another process was faster
        return False
    path.with_suffix(f".{os.getpid()}").unlink()
    return True


def _read(path: Path) -> WarmRay | None:
    try:
        return WarmRay(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def _path(settings: Settings) -> Path:
    return settings.home / "ray.json"
