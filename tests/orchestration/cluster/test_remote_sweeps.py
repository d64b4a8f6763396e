"""What is said of a cluster's sweeps to whoever asks for one."""

from __future__ import annotations

import pytest

from orchestration.cluster import remote_sweeps
from orchestration.errors import InputError
from services.jobs import Job


class Server:
    """A job server with one job."""

    def __init__(self, address: str) -> None:
        self.address = address

    def jobs(self, sweep: str | None = None) -> list[Job]:
        job = Job("sweep-hidden-1", "hidden", "", 1, "RUNNING", None, None, None, "")
        return [job] if sweep in (None, job.sweep) else []


def test_the_error_for_an_unknown_sweep_names_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """A sweep's page repeats it to a visitor who may not see all sweeps."""
    monkeypatch.setattr(remote_sweeps, "JobServer", Server)
    with pytest.raises(InputError, match="knows no job of a sweep 'hidde'") as refusal:
        remote_sweeps.RemoteSweeps("http://127.0.0.1:1").stop("hidde")
    assert "hidden" not in str(refusal.value)
