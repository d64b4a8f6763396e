"""Ray's job server, over HTTP from anywhere: submit, list, follow and stop sweeps' jobs.

A job that runs a sweep says so in its metadata, by which it is found again. With
``RAY_AUTH_MODE=token``, Ray's client sends the token of ``RAY_AUTH_TOKEN`` or
``RAY_AUTH_TOKEN_PATH``.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import requests
import stamina
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient

from services.errors import ServiceError
from services.settings import SettingsError, without_password

_SWEEP, _SPEC, _ATTEMPT = "snn_sweep.name", "snn_sweep.spec", "snn_sweep.attempt"

_STOPPING = {
    # Ray's own way is SIGTERM, and SIGKILL three seconds later: too soon to close the books.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": "120",
}


_RAYS_OWN = "RAY_API_SERVER_ADDRESS"
_TALKATIVE = (
    "ray._private.runtime_env.packaging",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
_START_SECONDS = 60.0


class JobExistsError(Exception):
    """There is a job of this id: somebody else was quicker."""


@dataclass(frozen=True)
class Job:
    """One attempt at running a sweep on a cluster."""

    id: str
    sweep: str
    spec: str
    """Digest of its spec."""
    attempt: int
    """Counted from 1 since the cluster's start."""
    status: str
    """Ray's: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    started: float | None
    ended: float | None
    """Seconds since the epoch."""
    exit_code: int | None
    message: str

    @property
    def is_live(self) -> bool:
        """Whether it runs, or will."""
        return self.status in ("PENDING", "RUNNING")


class JobServer:
    """A cluster's job server.

    Args:
        address: such as ``http://127.0.0.1:8265``.

    Raises:
        SettingsError: the address has another form.
        ServiceError: it cannot be reached, or refuses the token.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            usable = parts.scheme in ("http", "https") and parts.hostname is not None
        except ValueError:
            usable = False
        if not usable:
            raise SettingsError(
                f"{without_password(address)!r} is no address of a Ray job server. Valid: "
                "http://host:8265, the address of Ray's dashboard (--cluster, or "
                "RAY_API_SERVER_ADDRESS)"
            )
        self.address = without_password(address)
        for talkative in _TALKATIVE:
            logging.getLogger(talkative).setLevel(logging.WARNING)
        with self._errors(), _ray_asks_for(address):
            self._client = JobSubmissionClient(address)

    def jobs(self, sweep: str | None = None) -> list[Job]:
        """The jobs of one sweep or of all, the earliest attempt first."""
        with self._errors():
            found = [_job(details) for details in self._client.list_jobs()]
        jobs = [job for job in found if job is not None and sweep in (None, job.sweep)]
        return sorted(jobs, key=lambda job: (job.sweep, job.attempt))

    def at_present(self, job: Job) -> Job:
        """A job as it is now.

        Raises:
            ServiceError: its cluster was started anew, and knows nothing of it.
        """
        now = next((one for one in self.jobs(job.sweep) if one.id == job.id), None)
        if now is None:
            raise ServiceError(f"The cluster at {self.address} has forgotten {job.id}.")
        return now

    def start(self, job: Job, entrypoint: str, folder: Path) -> None:
        """Start a job, with a folder that it and its workers find as their current one.

        Raises:
            JobExistsError: there is one of its id.
            ServiceError: the job server cannot be reached.
        """
        metadata = {_SWEEP: job.sweep, _SPEC: job.spec, _ATTEMPT: str(job.attempt)}
        submit = stamina.retry(on=_is_starting, attempts=None, timeout=_START_SECONDS)(
            self._client.submit_job
        )
        with self._errors():
            try:
                submit(
                    entrypoint=entrypoint,
                    submission_id=job.id,
                    metadata=metadata,
                    runtime_env={"working_dir": str(folder), "env_vars": _STOPPING},
                )
            except RuntimeError as error:
                if "already exists" in str(error):
                    raise JobExistsError(job.id) from None
                raise

    def logs(self, job_id: str) -> str:
        """All that a job has printed until now."""
        with self._errors():
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, skip: int = 0) -> Iterator[str]:
        """What a job prints, to its end, a whole line at a time, but for the first ``skip``."""
        with self._errors(), asyncio.Runner() as runner:
            chunks = self._client.tail_job_logs(job_id)
            rest, seen = "", 0

            async def more() -> str | None:
                return await anext(chunks, None)

            while (chunk := runner.run(more())) is not None:
                *lines, rest = (rest + chunk).split("\n")
                yield from lines[max(0, skip - seen) :]
                seen += len(lines)

    def stop(self, job_id: str) -> None:
        """Ask a job to stop, as Ctrl-C would; returns before it has."""
        with self._errors():
            self._client.stop_job(job_id)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except AuthenticationError as error:
            raise ServiceError(
                f"The job server at {self.address} refuses the token: "
                f"{str(error).splitlines()[0]}. Set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH "
                "to the file that holds the cluster's token (of the composed cluster: "
                "secrets/ray_token)."
            ) from None
        except (OSError, RuntimeError, requests.RequestException, aiohttp.ClientError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ServiceError(
                f"The job server at {self.address} fails: {reason[-300:]} Check that the cluster "
                "is up and its port can be reached from here."
            ) from None


def _is_starting(error: Exception) -> bool:
    """Whether a new cluster answers already, but cannot take a job yet."""
    return "No available agent" in str(error)


@contextmanager
def _ray_asks_for(address: str) -> Iterator[None]:
    """Ray takes an address of the environment before the one that it is given."""
    before = os.environ.get(_RAYS_OWN)
    os.environ[_RAYS_OWN] = address
    try:
        yield
    finally:
        del os.environ[_RAYS_OWN]
        if before is not None:
            os.environ[_RAYS_OWN] = before


def _job(details: Any) -> Job | None:
    """A sweep's job; None for any other."""
    metadata: Mapping[str, str] = details.metadata or {}
    if details.submission_id is None or _SWEEP not in metadata:
        return None
    return Job(
        id=details.submission_id,
        sweep=metadata[_SWEEP],
        spec=metadata.get(_SPEC, ""),
        attempt=int(metadata.get(_ATTEMPT, 1)),
        status=str(getattr(details.status, "value", details.status)),
        started=details.start_time / 1000 if details.start_time else None,
        ended=details.end_time / 1000 if details.end_time else None,
        exit_code=details.driver_exit_code,
        message=details.message or "",
    )
