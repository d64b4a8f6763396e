"""Takes up again the sweeps of a cluster whose driver or head died.

    python -m orchestration.keeper      # RAY_API_SERVER_ADDRESS names the job server

A sweep that was submitted and is not over has its submission kept in the checkpoint store. Where
nobody holds such a sweep's lease and no job of it is live, it is submitted again. Should two do so
at once, Ray refuses the second job and the lease the second driver.
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


def verdict(jobs: Sequence[Job], now: float) -> Literal["leave", "forget", "resubmit"]:
    """What to do about a sweep that is not over and that nobody drives. Pure.

    Args:
        jobs: its attempts since the cluster's start, in order; none after the head was lost.
        now: seconds since the epoch.
    """
    if not jobs:
        return "resubmit"
    last = jobs[-1]
    if last.is_live:
        return "leave"
    if last.status == "STOPPED":
        return "forget"
    # A driver that dies at once must not keep the cluster busy for ever; a tracking server that is
    # away comes back.
    failures = sum(job.status == "FAILED" and job.exit_code != UNREACHABLE for job in jobs)
    pause = min(_INTERVAL * 2.0**failures, _LONGEST_PAUSE)
    if failures >= _MOST_FAILURES or now < (last.ended or now) + pause:
        return "leave"
    return "resubmit"


def look(address: str, storage: Storage) -> None:
    """Look once at every sweep in the checkpoint store.

    Raises:
        ServiceError: the job server cannot be reached.
    """
    for sweep in storage.folders():
        if holder(sweep) is None:  # asked first: what was submitted may be large
            with unpacked(sweep) as submitted:
                if submitted is not None:
                    _look_at(sweep, submitted, JobServer(address))


def _look_at(sweep: Storage, submitted: Path, server: JobServer) -> None:
    """Act for a sweep that is not over and that nobody drives."""
    name = sweep_of(submitted)
    action = verdict(server.jobs(name), time.time())
    if action == "forget":
        forget(sweep)
        _say(f"{name}: its user has stopped it")
    elif action == "resubmit":
        with suppress(JobExistsError):
            job = send(server, submitted)
            _say(f"{name}: restarted as {job.id}")


def main() -> None:
    """Look every few seconds, for ever."""
    settings = Settings.from_environment()
    trouble = ""
    while True:
        try:
            look(os.environ["RAY_API_SERVER_ADDRESS"], open_storage(settings.storage))
            trouble = ""
        except (ServiceError, OSError) as error:
            if str(error) != trouble:
                trouble = str(error)
                _say(trouble)
        time.sleep(_INTERVAL)


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
