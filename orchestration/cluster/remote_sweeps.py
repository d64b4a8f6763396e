"""The sweeps of a Ray cluster, through its job server: who drives one, what it tells, its end."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from datetime import datetime

import stamina

from orchestration.errors import FAILED, WRONG_INPUT, InputError
from orchestration.execution.driven_by import NOBODY
from orchestration.progress.event_log import Replay
from orchestration.progress.events import EventHandler, Note
from services.errors import ServiceError
from services.jobs import Job, JobServer
from services.settings import Settings
from services.tracking import reading_uri

_PATIENCE = 600.0
"""Seconds that a follower waits for a lost cluster, and for a sweep to be taken up again."""

_AWAY = "the cluster does not answer; waiting for it, or for the sweep to be restarted"


def cluster_option(address: str) -> str:
    """What a command needs besides, to find this cluster: nothing where the environment names it.

    In a container the environment has an address that is another from outside of it.
    """
    return "" if address == os.environ.get("RAY_API_SERVER_ADDRESS") else f" --cluster {address}"


class RemoteSweeps:
    """A cluster, with the verbs of ``orchestration.execution.local_sweeps.Here``.

    Args:
        address: of its job server.

    Raises:
        SettingsError: the address has another form.
        ServiceError: it cannot be reached.
    """

    how_to_run = "submit"
    unrecorded = "its progress is in its tracking server: set MLFLOW_TRACKING_URI"

    def __init__(self, address: str) -> None:
        self._server = JobServer(address)

    def reading_uri(self) -> str | None:
        """Where its runs are recorded, if the user says so: never in a server started here."""
        settings = Settings.from_environment()
        return reading_uri(settings) if settings.tracking_uri else None

    def drivers(self, names: Sequence[str] = ()) -> dict[str, str]:
        """The newest job of each sweep that the cluster knows; of a live one with its start.

        NOBODY drives those of these names of which it knows no job.
        """
        newest = dict.fromkeys(names, NOBODY)
        for job in self._server.jobs():
            since = datetime.fromtimestamp(job.started).strftime(" %H:%M") if job.started else ""
            newest[job.sweep] = f"{job.id} ({job.status}{since})"
        return newest

    def tell(self, name: str, replay: Replay, watch: EventHandler, *, to_the_end: bool) -> None:
        """Tell a watch what has happened in a sweep's last attempt.

        Args:
            name: the sweep's.
            replay: reads the events.
            watch: told of them.
            to_the_end: go on until the sweep is over, attempt after attempt.

        Raises:
            InputError: the cluster knows no such sweep.
            ServiceError: it cannot be reached; where it is followed, for many minutes.
        """
        if to_the_end:
            self.follow(name, replay, watch)
        else:
            for line in self._server.logs(self._newest(name).id).splitlines():
                replay.feed(line, watch)

    def stop(self, name: str) -> None:
        """Stop a sweep as Ctrl-C would, and wait until its runs are closed.

        Raises:
            InputError: it does not run.
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
        """Tell a watch what happens in a sweep until it is over; gives its last job.

        Raises:
            InputError: the cluster knows no such sweep.
            ServiceError: the cluster was away for too long.
        """
        job, told = self._newest(name), 0
        while True:
            try:
                for line in self._server.follow(job.id, skip=told):
                    replay.feed(line, watch)
                    told += 1
                now = self._server.at_present(job)
                if now.is_live:  # a moment after its log has ended; or the connection was cut
                    time.sleep(0.2)
                    continue
                for line in self._server.logs(job.id).splitlines()[told:]:
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
                job, told = last, 0

    @stamina.retry(
        on=ServiceError, attempts=None, timeout=_PATIENCE, wait_initial=1.0, wait_max=1.0
    )
    def _wait_for_job(self, name: str, ended: Job | None) -> Job:
        """The last attempt at a sweep, once there is one, and one after that which has ended."""
        last = next(reversed(self._server.jobs(name)), None)
        if last is None or (ended and _attempt(last) == _attempt(ended)):
            raise ServiceError(
                f"{name!r} has not been taken up again for {_PATIENCE:.0f} s. Submitting it again "
                "goes on with it."
            )
        return last

    def _newest(self, name: str) -> Job:
        """The last attempt at a sweep.

        Raises:
            InputError: the cluster knows of none.
        """
        if jobs := self._server.jobs(name):
            return jobs[-1]
        # No names here: a sweep's page repeats this to a visitor who may not see all of them.
        raise InputError(
            f"the cluster at {self._server.address} knows no job of a sweep {name!r} since its "
            "start; snn-sweep list shows those that it knows"
        )


def _attempt(job: Job) -> tuple[str, float | None]:
    """Tells attempts apart: a cluster that was lost counts them from 1 again."""
    return job.id, job.started


def _is_over(job: Job) -> bool:
    """Whether nobody will take the sweep up again."""
    return job.status != "FAILED" or job.exit_code in (FAILED, WRONG_INPUT)
