from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from orchestration.lease import Holder, LeaseTakenError, holder, sweep_lease

_processes = multiprocessing.get_context("spawn")


def _hold(folder: Path, held: Event) -> None:
    with sweep_lease(folder, "digits"):
        held.set()
        signal.pause()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "digits é"


@pytest.fixture
def other(folder: Path) -> Iterator[BaseProcess]:
    """Another process that holds the lease."""
    held = _processes.Event()
    process = _processes.Process(target=_hold, args=(folder, held))
    process.start()
    assert held.wait(timeout=60)
    yield process
    process.kill()
    process.join()


def test_a_second_driver_is_refused_and_told_who_is_the_first(
    folder: Path, other: BaseProcess
) -> None:
    refusal = rf"being run by process {other.pid} on .*status"
    with pytest.raises(LeaseTakenError, match=refusal), sweep_lease(folder, "digits"):
        pass
    assert holder(folder) == Holder(other.pid or 0, os.uname().nodename)


def test_a_killed_driver_leaves_no_lease(folder: Path, other: BaseProcess) -> None:
    other.kill()
    other.join()
    assert holder(folder) is None
    with sweep_lease(folder, "digits"):
        assert holder(folder) == Holder(os.getpid(), os.uname().nodename)
    assert holder(folder) is None


def test_looking_for_the_holder_creates_nothing(folder: Path) -> None:
    assert holder(folder) is None
    assert not folder.exists()
