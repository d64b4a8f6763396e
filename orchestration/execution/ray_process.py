"""The process that runs Ray Tune, seen from the driver, which must survive Ray.

Ray ends the process that uses it: at once if its raylet dies, after a minute if its GCS does. So
Ray is started and used in a process of its own, and the driver itself is never connected to Ray.

    with RayProcess(settings) as ray:    # Ray begins to start
        ...
        trained = ray.train(job, watch)  # RayLostError if Ray ends first: call it again

Both processes talk over a pipe. The driver sends the settings, then a `TrainingJob`, then None. It
is sent the ids of Ray's processes, then events, then `Trained` or the error that was raised.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import Pipe
from typing import Any, Self

import psutil

from orchestration.model.run import TrialRun
from orchestration.progress.events import EventHandler
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings

_LOOK_SECONDS = 1.0
_END_SECONDS = 30.0

# The modules that the driver can import can be imported there; its folder alone does not count.
_PROGRAM = (
    "import sys; fd, sys.path[:], sys.argv[1:] = int(sys.argv[1]), sys.argv[2:], []; "
    "from orchestration.execution.ray_child import main; main(fd)"
)


class RayLostError(Exception):
    """Ray has not started, or has ended before the training did; its text says so in words."""

    def __init__(
        self,
        words: str = "Ray has ended on this machine (by `ray stop`, by somebody, or by the system "
        "for want of memory)",
    ) -> None:
        super().__init__(words)


@dataclass(frozen=True)
class TrainingJob:
    """What is trained between a start of Ray and its end.

    Args:
        spec: what is wanted.
        settings: of this machine.
        uri: of the tracking server.
        experiment_id: of the sweep.
        parent_run_id: the sweep's own run.
        plan: the trials to run and to resume.
        recorded: the sweep's runs.
        failed: keys of trials that have failed in this run of the driver.
    """

    spec: SweepSpec
    settings: Settings
    uri: str
    experiment_id: str
    parent_run_id: str
    plan: Plan
    recorded: tuple[TrialRun, ...]
    failed: frozenset[str]


@dataclass(frozen=True)
class Trained:
    """How a training job ended.

    Args:
        all_ended: whether no trial is left to run.
        used_up: whether the budget is used up.
    """

    all_ended: bool
    used_up: bool


class RayProcess:
    """Ray, starting as long as the block lasts or until `train` has ended.

    Args:
        settings: ``ray_address`` names a cluster; otherwise Ray starts on this machine.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._child: _Child | None = None

    def __enter__(self) -> Self:
        self._child = _Child(self._settings)
        return self

    def __exit__(self, *_: object) -> None:
        if self._child is not None:
            self._child.kill()

    def train(self, job: TrainingJob, watch: EventHandler) -> Trained:
        """Train, and end Ray and all its processes on this machine.

        The first SIGINT or SIGTERM stops at the last epoch's checkpoints, a second one at once.

        Raises:
            RayLostError: Ray has ended before. A further call starts it again.
            KeyboardInterrupt: the user stopped it at once.
        """
        child = self._child or _Child(self._settings)
        try:
            trained = child.train(job, watch)
            child.dismiss()
            return trained
        finally:
            child.kill()
            self._child = None


class _Child:
    """One process that runs Ray Tune, with a session of its own.

    A signal to the driver's process group, as a terminal and batch systems send it, does not reach
    it. Ray's processes belong to the same session, by which all of them are found.
    """

    def __init__(self, settings: Settings) -> None:
        self._connection, there = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(there.fileno()), *sys.path],
            pass_fds=[there.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        there.close()
        self._is_lost = False
        self._has_ended = threading.Event()
        self._output = threading.Thread(target=self._pass_on_output, daemon=True)
        self._output.start()
        self._essential: list[psutil.Process] = []
        self._connection.send(settings)

    def train(self, job: TrainingJob, watch: EventHandler) -> Trained:
        with suppress(BrokenPipeError):  # it has ended; what it sent before says why
            self._connection.send(job)
        with self._signals_passed_on() as stopping:
            try:
                while True:
                    match self._receive():
                        case Trained() as trained:
                            return trained
                        case BaseException() as error:
                            raise error
                        case list() as pids:
                            self._watch_over(pids)
                        case event:
                            watch(event)
            except RayLostError:
                self._is_lost = True
                if stopping.is_set():
                    raise KeyboardInterrupt from None
                raise

    def dismiss(self) -> None:
        """Let it end Ray, and wait for that."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self._connection.poll(_END_SECONDS):
                self._connection.recv()

    def kill(self) -> None:
        """End every process of its session that there is."""
        deadline = time.monotonic() + _END_SECONDS
        while (members := self._members()) and time.monotonic() < deadline:
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        # Last: until then, its id stands for this session and no other.
        self._process.wait()
        self._connection.close()
        self._has_ended.set()
        self._output.join(_END_SECONDS)

    def _receive(self) -> Any:
        while True:
            has_lost = any(map(_has_ended, self._essential))  # before a last message is looked for
            try:
                if self._connection.poll(0 if has_lost else _LOOK_SECONDS):
                    return self._connection.recv()
            except (EOFError, ConnectionResetError):
                has_lost = True
            if has_lost:
                raise RayLostError

    def _watch_over(self, pids: list[int]) -> None:
        try:
            self._essential = [psutil.Process(pid) for pid in pids]
        except psutil.NoSuchProcess:
            raise RayLostError from None

    def _pass_on_output(self) -> None:
        """Pass on what it prints, but for Ray's last words, of which users can make nothing."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while text := os.read(output.fileno(), 2**16):
                self._has_ended.wait(2 * _LOOK_SECONDS)  # by then the loss of Ray is known
                if not self._is_lost:
                    sys.stderr.write(text.decode(errors="replace"))

    def _members(self) -> list[int]:
        members = []
        for pid in psutil.pids():
            with suppress(OSError, psutil.NoSuchProcess):  # it has ended, or is not ours
                if os.getsid(pid) == self._process.pid and not _has_ended(psutil.Process(pid)):
                    members.append(pid)
        return members

    @contextmanager
    def _signals_passed_on(self) -> Iterator[threading.Event]:
        """Pass the first SIGINT or SIGTERM on, for which Tune has a handler, as SIGINT."""
        stopping = threading.Event()
        if threading.current_thread() is not threading.main_thread():
            yield stopping
            return  # signals reach the main thread alone

        def pass_on(*_: object) -> None:
            if stopping.is_set():
                raise KeyboardInterrupt
            stopping.set()
            self._process.send_signal(signal.SIGINT)

        before = {
            number: signal.signal(number, pass_on) for number in (signal.SIGINT, signal.SIGTERM)
        }
        try:
            yield stopping
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process is gone, or a zombie that its parent has not asked after."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
