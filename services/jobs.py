"""Submits, lists, follows and stops the jobs of sweeps on Ray's job server, over HTTP.

The metadata of a job names its sweep, so that it can be found again. With ``RAY_AUTH_MODE=token``,
Ray's client sends the token of ``RAY_AUTH_TOKEN`` or ``RAY_AUTH_TOKEN_PATH``.
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
    # By default Ray sends SIGTERM, and SIGKILL three seconds later: too soon to close all runs.
    "RAY_JOB_STOP_SIGNAL": "SIGINT",
    "RAY_JOB_STOP_WAIT_TIME_S": "120",
}


_ADDRESS_VARIABLE = "RAY_API_SERVER_ADDRESS"
_VERBOSE_LOGGERS = (
    "ray._private.runtime_env.packaging",
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
)
_START_SECONDS = 60.0


class JobExistsError(Exception):
    """A job with this id exists: somebody else has just submitted it."""


@dataclass(frozen=True)
class Job:
    """One attempt at running a sweep on a cluster."""

    id: str
    sweep: str
    spec: str
    """The digest of its spec."""
    attempt: int
    """Counted from 1 since the cluster's start."""
    status: str
    """Ray's status: PENDING, RUNNING, STOPPED, SUCCEEDED or FAILED."""
    started: float | None
    ended: float | None
    """Seconds since 1970."""
    exit_code: int | None
    message: str

    @property
    def is_live(self) -> bool:
        """Whether it runs or is going to run."""
        return self.status in ("PENDING", "RUNNING")


class JobServer:
    """A cluster's job server.

    Args:
        address: its address, such as ``http://127.0.0.1:8265``.

    Raises:
        SettingsError: the address is invalid.
        ServiceError: the server cannot be reached, or refuses the token.
    """

    def __init__(self, address: str) -> None:
        try:
            parts = urlsplit(address)
            usable = parts.scheme in ("http", "https") and parts.hostname is not None
        except ValueError:
            usable = False
        if not usable:
            raise SettingsError(
                f"{without_password(address)!r} is not an address of a Ray job server. Valid: "
                "http://host:8265, the address of Ray's dashboard (--cluster, or "
                "RAY_API_SERVER_ADDRESS)"
            )
        self.address = without_password(address)
        for logger in _VERBOSE_LOGGERS:
            logging.getLogger(logger).setLevel(logging.WARNING)
        with self._errors(), _ray_asks_for(address):
            self._client = JobSubmissionClient(address)

    def jobs(self, sweep: str | None = None) -> list[Job]:
        """The jobs of one sweep or of all, the earliest attempt first."""
        with self._errors():
            details = self._client.list_jobs()
        jobs = [job for job in map(_job, details) if job is not None and sweep in (None, job.sweep)]
        return sorted(jobs, key=lambda job: (job.sweep, job.attempt))

    def at_present(self, job: Job) -> Job:
        """The current state of a job.

        Raises:
            ServiceError: its cluster was started again, and no longer knows the job.
        """
        now = next((other for other in self.jobs(job.sweep) if other.id == job.id), None)
        if now is None:
            raise ServiceError(f"The cluster at {self.address} has forgotten {job.id}.")
        return now

    def start(self, job: Job, entrypoint: str, folder: Path) -> None:
        """Start a job; the folder becomes the current one of the job and its workers.

        Raises:
            JobExistsError: a job with its id exists.
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
        """Everything that a job has printed so far."""
        with self._errors():
            return str(self._client.get_job_logs(job_id))

    def follow(self, job_id: str, skip: int = 0) -> Iterator[str]:
        """The lines that a job prints until it ends, without the first ``skip`` lines."""
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
        """Ask a job to stop, as Ctrl-C would, without waiting for it."""
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
    """Whether a new cluster answers, but cannot run jobs yet."""
    return "No available agent" in str(error)


@contextmanager
def _ray_asks_for(address: str) -> Iterator[None]:
    """Set the address in the environment, which Ray prefers to the one that it is called with."""
    before = os.environ.get(_ADDRESS_VARIABLE)
    os.environ[_ADDRESS_VARIABLE] = address
    try:
        yield
    finally:
        del os.environ[_ADDRESS_VARIABLE]
        if before is not None:
            os.environ[_ADDRESS_VARIABLE] = before


def _job(details: Any) -> Job | None:
    """The job of a sweep; None for any other job."""
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
