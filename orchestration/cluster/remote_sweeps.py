"""The sweeps of a Ray cluster, through its job server: drivers, logs, and how to stop them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime

import stamina

from orchestration.errors import FAILED, WRONG_INPUT, InputError
from orchestration.execution.local_sweeps import NOBODY
from orchestration.progress.event_log import Replay
from orchestration.progress.events import EventHandler, Note
from services.errors import ServiceError
from services.jobs import Job, JobServer
from services.settings import Settings
from services.tracking import reading_uri

_PATIENCE = 600.0
"""The seconds that a follower waits for a lost cluster, and for a sweep to be restarted."""

_AWAY = "the cluster does not answer; waiting for it, or for the sweep to be restarted"


def cluster_option(address: str) -> str:
    """The option with which a command finds this cluster; empty if the environment names it.

    An address in a container's environment may not work outside of the container.
    """
    return "" if address == os.environ.get("RAY_API_SERVER_ADDRESS") else f" --cluster {address}"


class RemoteSweeps:
    """The sweeps of a cluster; has the methods of ``LocalSweeps`` in ``execution``.

    Raises:
        SettingsError: the address is invalid.
        ServiceError: the job server cannot be reached.
    """

    how_to_run = "submit"
    unrecorded = "its progress is in its tracking server: set MLFLOW_TRACKING_URI"

    def __init__(self, address: str) -> None:
        self._server = JobServer(address)

    def reading_uri(self) -> str | None:
        """The tracking server that the user names; no server is started for a cluster."""
        settings = Settings.from_environment()
        return reading_uri(settings) if settings.tracking_uri else None

    def drivers(self, names: Sequence[str]) -> dict[str, str]:
        """The newest job of each of the cluster's sweeps, with its status and start.

        The driver of a sweep in ``names`` that has no job is NOBODY.
        """
        newest = dict.fromkeys(names, NOBODY)
        for job in self._server.jobs():
            since = datetime.fromtimestamp(job.started).strftime(" %H:%M") if job.started else ""
            newest[job.sweep] = f"{job.id} ({job.status}{since})"
        return newest

    def report_writer(self, _name: str) -> str | None:
        """None, because a job writes the report of its sweep before it ends."""
        return None

    def show_log(self, name: str, replay: Replay, watch: EventHandler, *, to_the_end: bool) -> None:
        """Pass the events of a sweep's last attempt to a handler.

        Args:
            to_the_end: whether to continue until the sweep has ended, over all further attempts.

        Raises:
            InputError: the cluster knows no such sweep.
            ServiceError: it cannot be reached; a sweep that is followed is waited for first.
        """
        if to_the_end:
            self.follow(name, replay, watch)
        else:
            for line in self._server.logs(self._newest(name).id).splitlines():
                replay.feed(line, watch)

    def stop(self, name: str) -> None:
        """Stop a sweep as Ctrl-C would, and wait until its runs are closed.

        Raises:
            InputError: the sweep does not run.
        """
        job = self._newest(name)
        if not job.is_live:
            raise InputError(
                f"sweep {name!r} does not run: its last job, {job.id}, is {job.status}"
            )
        self._server.stop(job.id)
        while self._newest(name).is_live:
            time.sleep(0.5)

    def follow(self, name: str, replay: Replay, watch: EventHandler) -> Job:
        """Pass a sweep's events to a handler until it has ended; returns its last job.

        Raises:
            InputError: the cluster knows no such sweep.
            ServiceError: the cluster was unreachable for too long.
        """
        job, n_shown = self._newest(name), 0
        while True:
            try:
                for line in self._server.follow(job.id, skip=n_shown):
                    replay.feed(line, watch)
                    n_shown += 1
                now = self._server.at_present(job)
                if now.is_live:  # its log has just ended, or the connection was cut
                    time.sleep(0.2)
                    continue
                for line in self._server.logs(job.id).splitlines()[n_shown:]:
                    replay.feed(line, watch)
                if _is_over(now):
                    return now
                trouble = f"the driver died ({now.status}); waiting for the sweep to be restarted"
                ended: Job | None = now
            except ServiceError:
                trouble, ended = _AWAY, None
            watch(Note(trouble))
            last = self._wait_for_job(name, ended)
            if _attempt(last) != _attempt(job):
                job, n_shown = last, 0

    @stamina.retry(
        on=ServiceError, attempts=None, timeout=_PATIENCE, wait_initial=1.0, wait_max=1.0
    )
    def _wait_for_job(self, name: str, ended: Job | None) -> Job:
        """The last attempt at a sweep, once there is one after ``ended``."""
        last = next(reversed(self._server.jobs(name)), None)
        if last is None or (ended and _attempt(last) == _attempt(ended)):
            raise ServiceError(
                f"{name!r} has not been restarted for {_PATIENCE:.0f} s. To continue, submit it "
                "again."
            )
        return last

    def _newest(self, name: str) -> Job:
        """The last attempt at a sweep.

        Raises:
            InputError: the cluster knows none.
        """
        if jobs := self._server.jobs(name):
            return jobs[-1]
        # The message lists no names, as a sweep's page shows it to visitors who may not see all.
        raise InputError(
            f"the cluster at {self._server.address} knows no job of a sweep {name!r} since its "
            "start; snn-sweep list shows those that it knows"
        )


def _attempt(job: Job) -> tuple[str, float | None]:
    """Identifies an attempt: a cluster that was started again counts attempts from 1."""
    return job.id, job.started


def _is_over(job: Job) -> bool:
    """Whether a sweep has ended with this job, so that it will not be restarted."""
    return job.status != "FAILED" or job.exit_code in (FAILED, WRONG_INPUT)
