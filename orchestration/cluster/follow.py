"""What a sweep tells of itself, while it runs or later, here or on a cluster."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console

from orchestration.errors import FAILED, WRONG_INPUT, InputError
from orchestration.progress.display import LineWatch
from orchestration.progress.event_log import Replay
from orchestration.progress.watch import Watch
from orchestration.store.base import Storage
from orchestration.store.lease import holder
from orchestration.store.open import sweep_storage
from services.jobs import Job, JobServer
from services.server import ServiceError
from services.settings import Settings
from snn_norm.wording import did_you_mean

__all__ = ["follow", "log_path", "newest_job", "print_local", "print_remote"]

_PATIENCE = 600.0
"""Seconds that a follower waits for a lost cluster, and for a sweep to be taken up again."""


def log_path(settings: Settings, name: str) -> Path:
    """Where the events of a sweep that is run from this machine are written."""
    return settings.home / "logs" / sweep_storage(settings, name).name / "events.jsonl"


def print_local(settings: Settings, name: str, console: Console, *, to_the_end: bool) -> None:
    """Print the events of a sweep that was run from this machine.

    Args:
        to_the_end: go on until nobody drives the sweep.

    Raises:
        InputError: there are none.
    """
    path = log_path(settings, name)
    if not path.exists():
        raise InputError(
            f"there is no log of a sweep {name!r} on this machine: `snn-sweep run` writes one; "
            "of a sweep on a cluster: snn-sweep logs NAME --cluster URL"
        )
    replay = Replay()
    watch = LineWatch(console, lambda: replay.time)
    for line in _lines(path, sweep_storage(settings, name), to_the_end):
        replay.feed(line, watch)


def _lines(path: Path, storage: Storage, to_the_end: bool) -> Iterator[str]:
    with path.open(encoding="utf-8") as file:
        part = ""
        while True:
            driven = to_the_end and holder(storage) is not None
            while text := file.readline():
                part += text
                if part.endswith("\n"):
                    yield part.rstrip("\n")
                    part = ""
            if not driven:  # looked at before the last lines were read
                return
            time.sleep(0.3)


def print_remote(server: JobServer, name: str, console: Console, *, to_the_end: bool) -> None:
    """Print the events of a sweep's last attempt on a cluster.

    Args:
        to_the_end: go on until the sweep ends.

    Raises:
        InputError: the cluster knows no such sweep.
        ServiceError: the cluster cannot be reached.
    """
    replay = Replay()
    watch = LineWatch(console, lambda: replay.time)
    if to_the_end:
        follow(server, name, replay, watch)
        return
    for line in server.logs(newest_job(server, name).id).splitlines():
        replay.feed(line, watch)


def newest_job(server: JobServer, name: str) -> Job:
    """The last attempt at a sweep.

    Raises:
        InputError: the cluster knows of none; the message lists those that it knows.
    """
    jobs = server.jobs()
    mine = [job for job in jobs if job.sweep == name]
    if mine:
        return mine[-1]
    names = sorted({job.sweep for job in jobs})
    known = f"it knows {', '.join(names)}" if names else "it knows none since its start"
    raise InputError(
        f"the cluster at {server.address} knows no job of a sweep {name!r}; {known}"
        f"{did_you_mean(name, names)}"
    )


def follow(server: JobServer, name: str, replay: Replay, watch: Watch) -> Job:
    """Tell a watch what happens in a sweep until it is over, attempt after attempt.

    Raises:
        InputError: the cluster knows no such sweep.
        ServiceError: the cluster was away for too long.
    """
    job = newest_job(server, name)
    while True:
        try:
            for line in server.follow(job.id):
                replay.feed(line, watch)
            job = _ended(server, job)
        except ServiceError:
            watch.note("the cluster does not answer; waiting for it to take the sweep up again")
            job = _next_attempt(server, job)
            continue
        if _is_over(job):
            return job
        watch.note(f"the driver died ({job.status}); waiting for the sweep to be taken up again")
        job = _next_attempt(server, job)


def _is_over(job: Job) -> bool:
    """Whether nobody will take the sweep up again."""
    return job.status != "FAILED" or job.exit_code in (FAILED, WRONG_INPUT)


def _ended(server: JobServer, job: Job) -> Job:
    """The job once its end is on record, which is a moment after the end of its log."""
    while True:
        now = server.at_present(job)
        if not now.is_live:
            return now
        time.sleep(0.2)


def _next_attempt(server: JobServer, job: Job) -> Job:
    """The attempt that takes a sweep up again, once there is one."""
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            last = next(reversed(server.jobs(job.sweep)), None)
            # A cluster that was lost counts its attempts from 1 again.
            if last is not None and (last.id != job.id or last.started != job.started):
                return last
            trouble = "it has not taken the sweep up again"
        except ServiceError as error:
            trouble = str(error)
        if time.monotonic() > deadline:
            raise ServiceError(
                f"Gave up following {job.sweep!r} after {_PATIENCE:.0f} s: {trouble}. Submitting "
                "it again goes on with it."
            )
        time.sleep(1)
