"""What strikes a sweep, whatever it trains: from its start until it has ended."""

from __future__ import annotations

import contextlib
import subprocess
import time

import psutil
from commands import finish, wait_until, workers_of
from laboratory import StruckSweep

__all__ = ["kill_driver", "kill_group", "kill_worker", "lose_replies", "take_server_away"]


def kill_worker(sweep: StruckSweep) -> None:
    """Kill one of its workers, at a random moment of the training."""
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    wait_until(lambda: workers_of(process) != [])
    sweep.random.choice(workers_of(process)).kill()
    sweep.finish(process)


def kill_driver(sweep: StruckSweep) -> None:
    """Kill the command itself, now and then before the first epoch."""
    process = sweep.start()
    if sweep.random.random() < 0.2:  # at its preparations
        wait_until(lambda: sweep.folder.exists())
    else:
        sweep.wait_for_a_moment(process)
    process.kill()
    sweep.finish(process)


def kill_group(process: subprocess.Popen[str]) -> None:
    """Kill a command and all processes that it has started, as when its machine loses power."""
    processes = psutil.Process(process.pid).children(recursive=True)
    process.kill()
    for one in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()


def take_server_away(sweep: StruckSweep, seconds: int) -> None:
    """Let nobody reach the tracking server for so long, from a random moment on."""
    sweep.row.fault += f" for {seconds} s"
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    sweep.proxy.down()
    time.sleep(seconds)
    passes = sweep.passes
    sweep.proxy.up()
    finish(process, 0)
    if seconds:
        # What was in training meanwhile went on to its last epoch, where it waited for the server.
        assert passes % sweep.passes_a_trial == 0


def lose_replies(sweep: StruckSweep) -> None:
    """Lose some of the tracking server's replies, once it has done what was asked."""
    process, most = sweep.start(), 2  # a command asks three times whether the server is there
    if sweep.random.random() < 0.7:
        sweep.wait_for_a_moment(process)
        most = 8
    sweep.proxy.lose_replies(sweep.random.randint(1, most))
    finish(process, 0)
    assert sweep.proxy.replies_left_to_lose == 0
