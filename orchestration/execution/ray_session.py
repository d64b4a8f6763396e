"""The process in which Ray Tune runs, `ray_child`, with a session of its own.

It does not receive signals to its starter's process group, which terminals and batch systems send.
Ray's processes belong to its session, so that all of them can be found.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Self

import psutil

from orchestration.sweep.spec import SweepSpec
from services.settings import Settings

END_SECONDS = 30.0

# The process can import whatever its starter can, but not from the current folder just because it
# is the current one.
_PROGRAM = (
    "import sys; fd, sys.path[:], sys.argv[1:] = int(sys.argv[1]), sys.argv[2:], []; "
    "from orchestration.execution.ray_child import main; main(fd)"
)


@dataclass(frozen=True)
class RayOrder:
    """How Ray is started, or for which sweep it is needed.

    Args:
        needs_one_core: whether a trial uses one core at most.
        all_cores_train: whether such a trial runs on each core of this machine.
        keep_minutes: how long to wait for a sweep that needs Ray; 0 if there is one.
        environment, path: the variables and the path of modules of the command, before libraries
            add their own.
    """

    settings: Settings
    needs_one_core: bool = True
    all_cores_train: bool = False
    keep_minutes: float = 0.0
    environment: Mapping[str, str] = field(default_factory=lambda: dict(os.environ), repr=False)
    path: tuple[str, ...] = field(default_factory=lambda: tuple(sys.path))

    @classmethod
    def of(cls, spec: SweepSpec, settings: Settings) -> Self:
        """The order for the trials of a spec."""
        needs_one_core = spec.resources.cpu <= 1
        enough = len(spec.trials()) >= (os.cpu_count() or 1) and not spec.resources.gpu
        return cls(settings, needs_one_core, needs_one_core and enough)

    def kept(self, minutes: float) -> Self:
        """The order for a Ray that is kept for the next sweep, whose trials may need all cores."""
        return replace(self, all_cores_train=True, keep_minutes=minutes)


def start_session(
    environment: Mapping[str, str] | None = None, output: int = subprocess.PIPE
) -> tuple[psutil.Popen, Connection]:
    """Start the process, which imports Ray and then receives a `RayOrder` on the connection."""
    connection, childs_end = Pipe()
    process = psutil.Popen(
        [sys.executable, "-c", _PROGRAM, str(childs_end.fileno()), *sys.path],
        env=environment,
        pass_fds=[childs_end.fileno()],
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    childs_end.close()
    return process, connection


def end_session(process: psutil.Process) -> None:
    """End every process of the session that this one leads, or has led."""
    deadline = time.monotonic() + END_SECONDS
    while (members := _members(process.pid)) and time.monotonic() < deadline:
        for pid in members:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.05)
    # Last, as the process's id identifies the session until then.
    with suppress(psutil.TimeoutExpired):  # its parent, another process, has not waited for it
        process.wait(END_SECONDS)


def has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended; it may be a zombie that its parent has not waited for."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _members(session: int) -> list[int]:
    members = []
    for pid in psutil.pids():
        with suppress(OSError, psutil.NoSuchProcess):  # it has ended, or is another user's
            if os.getsid(pid) == session and not has_ended(psutil.Process(pid)):
                members.append(pid)
    return members
