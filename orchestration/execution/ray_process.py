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
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, Self

import psutil

from orchestration.execution.ray_session import (
    END_SECONDS,
    RayOrder,
    end_session,
    has_ended,
    start_session,
)
from orchestration.execution.warm_ray import WarmRay, find_ray, keep_ray, take_ray
from orchestration.model.run import TrialRun
from orchestration.progress.events import EventHandler, Note
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError
from services.settings import Settings

_POLL_SECONDS = 1.0


class RayLostError(Exception):
    """Ray has not started, or has ended before the training did; the message says which."""

    def __init__(
        self,
        words: str = "Ray has ended on this machine (somebody stopped it, or the system ran out of "
        "memory)",
    ) -> None:
        super().__init__(words)


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
    """A process for Ray, which runs from `start` until `train` has ended.

    It is the one that `up --warm` keeps ready, if the sweep can use that.
    """

    def __init__(self, order: RayOrder) -> None:
        self._order = order
        self._child: _Child | None = None
        self._ending: threading.Thread | None = None
        self._keep_minutes: float | None = None

    def __enter__(self) -> Self:
        if not is_connected() and self._find_warm() is None:
            self._child = _Child(*start_session())
        return self

    def __exit__(self, *_: object) -> None:
        self.wait_for_end()
        if self._child is not None:
            self._child.kill()

    def start(self, watch: EventHandler = lambda _: None) -> None:
        """Let Ray start, if it has not been told to; returns at once."""
        self.wait_for_end()
        if self._child is None:
            self._child = self._take_warm(watch) or _Child(*start_session())
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
            self.wait_for_end()
        return trained

    def keep_another(self, watch: EventHandler) -> None:
        """Let another process take the place of the one that `up --warm` had kept ready, if any.

        The tracking server must stay in use until `wait_for_end` returns.
        """
        if self._keep_minutes is not None:
            order = self._order.kept(self._keep_minutes)
            self._ending = threading.Thread(target=_keep_after, args=(self._ending, order, watch))
            self._ending.start()

    def wait_for_end(self) -> None:
        """Wait until Ray has ended after a training."""
        if self._ending is not None:
            self._ending.join()
            self._ending = None

    def _find_warm(self) -> WarmRay | None:
        settings = self._order.settings
        return find_ray(settings) if settings.ray_address is None else None

    def _take_warm(self, watch: EventHandler) -> _Child | None:
        """The process that was kept ready; None if there is none, or the sweep cannot use it."""
        if (warm := self._find_warm()) is None:
            return None
        self._keep_minutes = warm.minutes
        match take_ray(self._order):
            case WarmRay(), connection:
                return _Child(psutil.Process(warm.pid), connection, is_started=True)
            case str() as problem:
                watch(Note(f"the Ray that was kept warm is started anew: {problem}"))
        return None


def _keep_after(ending: threading.Thread | None, order: RayOrder, watch: EventHandler) -> None:
    if ending is not None:
        ending.join()
    try:
        keep_ray(order, until_ready=False)
    except ServiceError as error:
        watch(Note(str(error)))


class _Child:
    """One process that runs Ray Tune, with a session of its own."""

    def __init__(
        self, process: psutil.Process, connection: Connection, *, is_started: bool = False
    ) -> None:
        self._process = process
        self._connection = connection
        self._is_lost = False
        self._has_ended = threading.Event()
        self._output = None
        if not is_started:
            self._output = threading.Thread(target=self._pass_on_output, daemon=True)
            self._output.start()
        self._essential: list[psutil.Process] = []
        self._is_started = is_started

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
            if self._connection.poll(END_SECONDS):
                self._connection.recv()
        self.kill()

    def kill(self) -> None:
        """End every process of the child's session."""
        end_session(self._process)
        self._connection.close()
        self._has_ended.set()
        if self._output is not None:
            self._output.join(END_SECONDS)

    def _receive(self) -> Any:
        while True:
            is_lost = any(map(has_ended, self._essential))  # checked before reading a last message
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
        assert isinstance(self._process, psutil.Popen)
        with self._process.stdout as output:
            while text := os.read(output.fileno(), 2**16):
                self._has_ended.wait(2 * _POLL_SECONDS)  # by then the loss of Ray is known
                if not self._is_lost:
                    sys.stderr.write(text.decode(errors="replace"))

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
