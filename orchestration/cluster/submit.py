"""Sweeps on a cluster, from anywhere: submitted and stopped through its job server."""

from __future__ import annotations

import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from orchestration.cluster.bundle import digest, pack, send, user_modules
from orchestration.cluster.remote_sweeps import RemoteSweeps, cluster_option
from orchestration.errors import SweepError
from orchestration.progress.console import TextConsole
from orchestration.progress.display import make_display
from orchestration.progress.event_log import Replay, read_event
from orchestration.progress.events import Supervised
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError
from services.jobs import Job, JobExistsError, JobServer
from services.settings import SettingsError


@dataclass(frozen=True)
class Submission:
    """A sweep on a cluster."""

    name: str
    job_id: str
    cluster: str
    """The job server's address."""
    is_new: bool
    """Whether it was started by this call; if not, it was running already."""

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
    """Run a sweep on a Ray cluster, as a job; returns once it will go on whatever dies there.

    What was interrupted goes on. A sweep that runs already is left running.

    Args:
        spec: what is wanted.
        cluster: its job server, such as ``http://127.0.0.1:8265``; default:
            ``RAY_API_SERVER_ADDRESS``.
        folder: where the user's own modules lie, which are sent along; default: the current one.

    Raises:
        SpecError: the user's own code cannot be imported here.
        SweepError: the sweep runs there already, with another spec; or its job ended at once.
        ServiceError: the job server cannot be reached.
    """
    address = cluster or os.environ.get("RAY_API_SERVER_ADDRESS")
    if not address:
        raise SettingsError(
            "no cluster is named: give --cluster http://host:8265, or set RAY_API_SERVER_ADDRESS"
        )
    spec.trials()  # imports what it names
    server = JobServer(address)
    if running := _running(server, spec):
        return Submission(spec.name, running.id, address, is_new=False)
    with tempfile.TemporaryDirectory(prefix="snn-sweep-") as packed:
        pack(spec, Path(packed), user_modules(folder or Path.cwd()))
        try:
            job = send(server, Path(packed))
        except JobExistsError:  # somebody was quicker by a moment
            if (other := _running(server, spec)) is None:
                raise ServiceError(
                    f"{spec.name!r} was submitted by somebody else at the same moment, and has "
                    "ended: submit it again"
                ) from None
            return Submission(spec.name, other.id, address, is_new=False)
    _wait_until_kept(server, job)
    return Submission(spec.name, job.id, address, is_new=True)


def _wait_until_kept(server: JobServer, job: Job) -> None:
    """Until the job's first act is done, the cluster's head holds it in its memory alone."""
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
            f"The cluster was lost while it took {job.sweep!r}: {error} Submit it again: "
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
