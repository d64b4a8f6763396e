"""Restarts the sweeps of a cluster whose driver or head died.

    python -m orchestration.keeper      # RAY_API_SERVER_ADDRESS names the job server

The checkpoint store holds the submission of every sweep that was submitted and has not ended. If
nobody holds the lease of such a sweep and none of its jobs is live, it is submitted again. If two
supervisors do so at once, Ray refuses the second job, and the lease stops a second driver.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

from orchestration.cluster.bundle import forget, send, sweep_of, unpacked
from orchestration.errors import UNREACHABLE
from orchestration.store.base import Storage
from orchestration.store.lease import holder
from orchestration.store.open import open_storage
from services.errors import ServiceError
from services.jobs import Job, JobExistsError, JobServer
from services.settings import Settings

_INTERVAL = 5.0
_MOST_FAILURES = 6
_LONGEST_PAUSE = 300.0


def decide_action(jobs: Sequence[Job], now: float) -> Literal["leave", "forget", "resubmit"]:
    """What to do about an unfinished sweep without a driver. Pure.

    Args:
        jobs: its attempts since the cluster's start, in order; empty if the head was lost.
        now: the time in seconds since 1970.
    """
    if not jobs:
        return "resubmit"
    last = jobs[-1]
    if last.is_live:
        return "leave"
    if last.status == "STOPPED":
        return "forget"
    # A driver that always dies must not keep the cluster busy. An unreachable tracking server does
    # not count, as it comes back.
    failures = sum(job.status == "FAILED" and job.exit_code != UNREACHABLE for job in jobs)
    pause = min(_INTERVAL * 2.0**failures, _LONGEST_PAUSE)
    if failures >= _MOST_FAILURES or now < (last.ended or now) + pause:
        return "leave"
    return "resubmit"


def poll(address: str, storage: Storage) -> None:
    """Check every sweep in the checkpoint store once, and restart those that need it.

    Raises:
        ServiceError: the job server cannot be reached.
    """
    for sweep in storage.folders():
        if holder(sweep) is None:  # checked first, as the submission may be large
            with unpacked(sweep) as submitted:
                if submitted is not None:
                    _act(sweep, submitted, JobServer(address))


def _act(sweep: Storage, submitted: Path, server: JobServer) -> None:
    """Restart or forget an unfinished sweep without a driver, or leave it."""
    name = sweep_of(submitted)
    action = decide_action(server.jobs(name), time.time())
    if action == "forget":
        forget(sweep)
        _print(f"{name}: its user has stopped it")
    elif action == "resubmit":
        with suppress(JobExistsError):
            job = send(server, submitted)
            _print(f"{name}: restarted as {job.id}")


def main() -> None:
    """Poll every few seconds, forever."""
    settings = Settings.from_environment()
    trouble = ""
    while True:
        try:
            poll(os.environ["RAY_API_SERVER_ADDRESS"], open_storage(settings.storage))
            trouble = ""
        except (ServiceError, OSError) as error:
            if str(error) != trouble:
                trouble = str(error)
                _print(trouble)
        time.sleep(_INTERVAL)


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
