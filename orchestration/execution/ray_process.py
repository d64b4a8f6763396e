"""The driver's side of the process that runs Ray Tune.

Ray ends a process that uses it: at once if its raylet dies, after a minute if its GCS does. The
driver must survive that. So Ray is started and used in a process of its own, and the driver is
never connected to Ray.

    with RayProcess(order) as ray:       # the process begins to import Ray
        ray.start()                      # Ray begins to start
        trained = ray.train(job, watch)  # RayLostError if Ray ends first: call it again

The two processes communicate over a pipe. The driver sends a `RayOrder`, then a `TrainingJob`, then
None. It receives the ids of Ray's processes, then events, then `Trained` or the error.
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

_POLL_SECONDS = 1.0
_END_SECONDS = 30.0

# The process can import whatever the driver can, but not from the current folder just because it
# is the current one.
_PROGRAM = (
    "import sys; fd, sys.path[:], sys.argv[1:] = int(sys.argv[1]), sys.argv[2:], []; "
    "from orchestration.execution.ray_child import main; main(fd)"
)


class RayLostError(Exception):
    """Ray has not started, or has ended before the training did; the message says which."""

    def __init__(
        self,
        words: str = "Ray has ended on this machine (somebody stopped it, or the system ran out of "
        "memory)",
    ) -> None:
        super().__init__(words)


@dataclass(frozen=True)
class RayOrder:
    """How Ray is started.

    Args:
        all_cores_train: whether a trial runs on each of this machine's cores, with one core each.
    """

    settings: Settings
    all_cores_train: bool = False

    @classmethod
    def of(cls, spec: SweepSpec, settings: Settings) -> Self:
        """The order for the trials of a spec."""
        resources = spec.resources
        needs_one_core = resources.cpu <= 1 and not resources.gpu
        return cls(settings, needs_one_core and len(spec.trials()) >= (os.cpu_count() or 1))


@dataclass(frozen=True)
class TrainingJob:
    """What is trained between a start of Ray and its end.

    Args:
        uri: the address of the tracking server.
        plan: the trials to run and to resume.
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
    """How a training job ended: whether no trial is left, and whether the budget is used up."""

    all_ended: bool
    used_up: bool


def is_connected() -> bool:
    """Whether the caller has connected this process to Ray, which is used then."""
    return "ray" in sys.modules and bool(sys.modules["ray"].is_initialized())


class RayProcess:
    """A process for Ray, which runs from `start` until `train` has ended."""

    def __init__(self, order: RayOrder) -> None:
        self._order = order
        self._child: _Child | None = None
        self._ending: threading.Thread | None = None

    def __enter__(self) -> Self:
        if not is_connected():
            self._child = _Child()
        return self

    def __exit__(self, *_: object) -> None:
        self._wait_for_end()
        if self._child is not None:
            self._child.kill()

    def start(self) -> None:
        """Let Ray start, if it has not been told to; returns at once."""
        self._wait_for_end()
        if self._child is None:
            self._child = _Child()
        self._child.start(self._order)

    def train(self, job: TrainingJob, watch: EventHandler) -> Trained:
        """Train, then end Ray and all its processes on this machine.

        The first SIGINT or SIGTERM stops at the last epoch's checkpoints, a second one at once. If
        no trial is left, this returns while Ray is still ending.

        Raises:
            RayLostError: Ray ended first. Another call starts it again.
            KeyboardInterrupt: the user stopped the training at once.
        """
        self.start()
        child, self._child = self._child, None
        assert child is not None
        try:
            trained = child.train(job, watch)
        except BaseException:
            child.kill()
            raise
        self._ending = threading.Thread(target=child.end)
        self._ending.start()
        if not trained.all_ended:
            self._wait_for_end()
        return trained

    def _wait_for_end(self) -> None:
        if self._ending is not None:
            self._ending.join()
            self._ending = None


class _Child:
    """One process that runs Ray Tune, with a session of its own.

    It does not receive signals to the driver's process group, which terminals and batch systems
    send. Ray's processes belong to its session, so that all of them can be found.
    """

    def __init__(self) -> None:
        self._connection, childs_end = Pipe()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(childs_end.fileno()), *sys.path],
            pass_fds=[childs_end.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        childs_end.close()
        self._is_lost = False
        self._has_ended = threading.Event()
        self._output = threading.Thread(target=self._pass_on_output, daemon=True)
        self._output.start()
        self._essential: list[psutil.Process] = []
        self._is_started = False

    def start(self, order: RayOrder) -> None:
        if not self._is_started:
            self._is_started = True
            with suppress(BrokenPipeError):  # it has ended, which `train` notices
                self._connection.send(order)

    def train(self, job: TrainingJob, watch: EventHandler) -> Trained:
        with suppress(BrokenPipeError):  # it has ended; its last message says why
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

    def end(self) -> None:
        """Let the process end Ray, then end whatever is left."""
        with suppress(OSError, EOFError):
            self._connection.send(None)
            if self._connection.poll(_END_SECONDS):
                self._connection.recv()
        self.kill()

    def kill(self) -> None:
        """End every process of the child's session."""
        deadline = time.monotonic() + _END_SECONDS
        while (members := self._members()) and time.monotonic() < deadline:
            for pid in members:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(0.05)
        # Last, as the process's id identifies the session until then.
        self._process.wait()
        self._connection.close()
        self._has_ended.set()
        self._output.join(_END_SECONDS)

    def _receive(self) -> Any:
        while True:
            is_lost = any(map(_has_ended, self._essential))  # checked before reading a last message
            try:
                if self._connection.poll(0 if is_lost else _POLL_SECONDS):
                    return self._connection.recv()
            except (EOFError, ConnectionResetError):
                is_lost = True
            if is_lost:
                raise RayLostError

    def _watch_over(self, pids: list[int]) -> None:
        try:
            self._essential = [psutil.Process(pid) for pid in pids]
        except psutil.NoSuchProcess:
            raise RayLostError from None

    def _pass_on_output(self) -> None:
        """Pass on the process's output, except what Ray prints as it dies."""
        assert self._process.stdout is not None
        with self._process.stdout as output:
            while text := os.read(output.fileno(), 2**16):
                self._has_ended.wait(2 * _POLL_SECONDS)  # by then the loss of Ray is known
                if not self._is_lost:
                    sys.stderr.write(text.decode(errors="replace"))

    def _members(self) -> list[int]:
        members = []
        for pid in psutil.pids():
            with suppress(OSError, psutil.NoSuchProcess):  # it has ended, or is another user's
                if os.getsid(pid) == self._process.pid and not _has_ended(psutil.Process(pid)):
                    members.append(pid)
        return members

    @contextmanager
    def _signals_passed_on(self) -> Iterator[threading.Event]:
        """Pass the first SIGINT or SIGTERM on as SIGINT, for which Tune has a handler."""
        stopping = threading.Event()
        if threading.current_thread() is not threading.main_thread():
            yield stopping
            return  # only the main thread receives signals

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
    """Whether a process has ended; it may be a zombie that its parent has not waited for."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
