"""A command that is stopped, or loses its tracking server, before it has trained anything."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress

import psutil
import pytest
from commands import processes_in, wait_until
from laboratory import IMPATIENT, StruckSweep

from orchestration.record.client import connect
from services.settings import Settings
from services.tracking import start_server, stop_server

_SECONDS = 20.0
"""Two idle cores train the first epoch before that."""


@pytest.fixture
def own_server(sweep: StruckSweep) -> Iterator[StruckSweep]:
    """The sweep, with a tracking server that the command itself has to start."""
    sweep.commands.environment["MLFLOW_TRACKING_URI"] = ""
    yield sweep
    for process in processes_in(sweep.commands):
        process.kill()


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.database("sqlite")
def test_ctrl_c_while_it_starts(own_server: StruckSweep) -> None:
    _stop_by(signal.SIGINT, own_server)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.database("sqlite")
def test_sigterm_while_it_starts(own_server: StruckSweep) -> None:
    _stop_by(signal.SIGTERM, own_server)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.database("sqlite")
def test_tracking_server_killed_while_it_starts(own_server: StruckSweep) -> None:
    def servers() -> list[int]:
        pids = []
        for one in processes_in(own_server.commands):
            with suppress(psutil.NoSuchProcess):  # it has just ended
                if "mlflow" in " ".join(one.cmdline()):
                    pids.append(one.pid)
        return pids

    # Trials that have begun would wait for their server for 15 minutes.
    own_server.content = {**own_server.content, "retries": 0}
    process = own_server.start(program=IMPATIENT)
    wait_until(lambda: servers() != [])
    time.sleep(own_server.random.uniform(0, _SECONDS))
    for one in processes_in(own_server.commands):
        if one.pid in servers():
            one.kill()
    # The runs of trials that had begun are open until the same command has a server again.
    _check_that_it_ends_in_order(own_server, process, 3, closed=False)


def _stop_by(number: signal.Signals, sweep: StruckSweep) -> None:
    process = sweep.start()
    time.sleep(sweep.random.uniform(0, _SECONDS))
    process.send_signal(number)
    _check_that_it_ends_in_order(sweep, process, 130, closed=True)


def _check_that_it_ends_in_order(
    sweep: StruckSweep, process: subprocess.Popen[str], code: int, *, closed: bool
) -> None:
    """The command ends with this code, unless it has finished; the same one completes the sweep."""
    _, told = process.communicate(timeout=500)
    assert process.returncode in (0, code), told
    assert "Traceback" not in told
    sweep.row.second_command = process.returncode != 0
    assert processes_in(sweep.commands) == [], "a process stayed behind"
    settings = Settings.from_environment(sweep.commands.environment)
    sweep.tracking_uri = start_server(settings)
    try:
        client = connect(sweep.tracking_uri)
        experiments = [one.experiment_id for one in client.search_experiments()]
        running = client.search_runs(experiments, "attributes.status = 'RUNNING'")
        assert not closed or [run.info.run_name for run in running] == []
        sweep.commands.run("run", sweep.path)
        sweep.check_record()
    finally:
        stop_server(settings)
