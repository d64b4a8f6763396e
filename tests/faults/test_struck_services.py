"""The tracking server and its database go away."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import psutil
import pytest
from commands import finish
from laboratory import IMPATIENT, ROUNDS, StruckSweep
from strikes import lose_replies, take_server_away

from services import server
from services.settings import Settings
from services.tracking import start_server

if TYPE_CHECKING:
    from conftest import Postgres


@pytest.mark.slow
@pytest.mark.release
def test_tracking_server_killed_and_started(
    sweep: StruckSweep, database: str, server_settings: dict[str, Settings], postgres: Postgres
) -> None:
    settings = server_settings[database]
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    known = server.load(settings.home / "tracking")
    assert known is not None
    processes = known.living()
    for one in processes:
        one.kill()
    psutil.wait_procs(processes, timeout=30)  # until then the port is taken
    uri = start_server(settings, postgres.url if database == "postgres" else None)
    assert uri == sweep.tracking_uri
    finish(process, 0)
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.parametrize("seconds", [20] if ROUNDS == 1 else [0, 20, 60])
def test_tracking_server_away(sweep: StruckSweep, seconds: int) -> None:
    take_server_away(sweep, seconds)
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
@pytest.mark.release
def test_tracking_server_away_for_good(sweep: StruckSweep) -> None:
    """Until the sweep has given up; the same command later brings what was measured meanwhile."""
    sweep.content = {**sweep.content, "retries": 0}
    process = sweep.start(program=IMPATIENT)
    sweep.wait_for_a_moment(process)
    sweep.proxy.down()
    assert "Traceback" not in finish(process, 3)
    sweep.proxy.up()
    sweep.finish(process)
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
@pytest.mark.release
def test_reply_lost_after_commit(sweep: StruckSweep) -> None:
    lose_replies(sweep)
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.database("postgres")
def test_postgres_restarted(sweep: StruckSweep, postgres: Postgres) -> None:
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    postgres.stop(signal.SIGINT)
    postgres.start()
    finish(process, 0)
    sweep.check(most_epochs_again=0)


@pytest.mark.slow
@pytest.mark.database("postgres")
def test_postgres_killed(sweep: StruckSweep, postgres: Postgres) -> None:
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    postgres.stop(signal.SIGKILL)
    time.sleep(sweep.random.uniform(0, 5))
    postgres.start()
    finish(process, 0)
    sweep.check(most_epochs_again=0)
