"""Submits sweeps to a Ray cluster through its job server."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from orchestration.cluster.bundle import digest, pack, send, user_modules
from orchestration.cluster.remote_sweeps import RemoteSweeps, cluster_option
from orchestration.errors import SweepError
from orchestration.execution.trials.planning import recorder_of
from orchestration.progress.console import TextConsole
from orchestration.progress.display import make_display
from orchestration.progress.event_log import Replay, read_event
from orchestration.progress.events import Supervised
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError
from services.jobs import Job, JobExistsError, JobServer
from services.settings import Settings, SettingsError


@dataclass(frozen=True)
class Submission:
    """A sweep that was submitted to a cluster."""

    name: str
    job_id: str
    cluster: str
    """The job server's address."""
    is_new: bool
    """Whether this call started the sweep; otherwise it was already running."""

    def wait(self) -> int | None:
        """Follow the sweep to its end on standard error.

        Returns:
            The exit code of its driver, that of ``snn-sweep run``; None if it was killed.
        """
        replay = Replay()
        with make_display(TextConsole(stderr=True), lambda: replay.time) as watch:
            return RemoteSweeps(self.cluster).follow(self.name, replay, watch).exit_code


def submit_sweep(
    spec: SweepSpec, *, cluster: str | None = None, folder: Path | None = None
) -> Submission:
    """Run a sweep on a Ray cluster, as a job; returns once the cluster can restart the sweep.

    Interrupted trials continue. A sweep that is already running is left running.

    Args:
        cluster: the address of the job server, such as ``http://127.0.0.1:8265``; by default
            ``RAY_API_SERVER_ADDRESS``.
        folder: the folder of the user's own modules, which are sent along; by default the current
            one.

    Raises:
        SpecError: the user's own code cannot be imported here.
        InputError: a sweep of this name is another user's.
        SweepError: the sweep is already running with another spec, or its job ended at once.
        ServiceError: the job server cannot be reached.
    """
    address = cluster or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise SettingsError(
            "no cluster is named: give --cluster http://host:8265, or set RAY_API_SERVER_ADDRESS"
        )
    spec.trials()  # imports the modules that the spec names
    settings = Settings.from_environment()
    if settings.login and settings.tracking_uri and (recorder := recorder_of(spec, settings)):
        recorder.check_writable()
    server = JobServer(address)
    if running := _running(server, spec):
        return Submission(spec.name, running.id, address, is_new=False)
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as packed:
        pack(spec, Path(packed), user_modules(folder or Path.cwd()), settings.login)
        try:
            job = send(server, Path(packed))
        except JobExistsError:  # somebody has submitted it at the same moment
            if (other := _running(server, spec)) is None:
                raise ServiceError(
                    f"{spec.name!r} was submitted by another user at the same moment, and has "
                    "ended: submit it again"
                ) from None
            return Submission(spec.name, other.id, address, is_new=False)
    _wait_until_supervised(server, job)
    return Submission(spec.name, job.id, address, is_new=True)


def _wait_until_supervised(server: JobServer, job: Job) -> None:
    """Wait until the job has saved its bundle; before that only the head's memory holds it."""
    try:
        while True:
            now = server.at_present(job)
            if any(
                isinstance(read_event(line), Supervised) for line in server.logs(job.id).split("\n")
            ):
                return
            if not now.is_live:
                break
            time.sleep(0.3)
    except ServiceError as error:
        raise ServiceError(
            f"The cluster was lost while {job.sweep!r} was submitted: {error} Submit it again: "
            "nothing runs twice."
        ) from None
    raise SweepError(
        f"{job.id} ended before the sweep had begun ({now.status}: {now.message}). Its log "
        f"says why: snn-sweep logs {job.sweep}{cluster_option(server.address)}"
    )


def _running(server: JobServer, spec: SweepSpec) -> Job | None:
    live = [job for job in server.jobs(spec.name) if job.is_live]
    if live and live[-1].spec != digest(spec.to_json()):
        raise SweepError(
            f"sweep {spec.name!r} is running with another spec, as {live[-1].id}: wait for its "
            f"end, or stop it first: snn-sweep stop {spec.name}{cluster_option(server.address)}"
        )
    return live[-1] if live else None
