from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from orchestration.errors import SweepError
from orchestration.store import s3 as s3_store
from orchestration.store.base import Storage
from orchestration.store.lease import Holder, LeaseTakenError, holder, sweep_lease
from orchestration.store.open import open_storage

_processes = multiprocessing.get_context("spawn")


def _hold(storage: Storage, held: Event) -> None:
    s3_store._HEARTBEAT_SECONDS = 0.5
    with sweep_lease(storage, "digits"):
        held.set()
        signal.pause()


@pytest.fixture
def other(storage: Storage) -> Iterator[BaseProcess]:
    """Another process that holds the lease."""
    held = _processes.Event()
    process = _processes.Process(target=_hold, args=(storage, held))
    process.start()
    assert held.wait(timeout=60)
    yield process
    process.kill()
    process.join()


def test_a_second_driver_is_refused_and_told_who_is_the_first(
    storage: Storage, other: BaseProcess
) -> None:
    refusal = rf"being run by process {other.pid} on .*status"
    with pytest.raises(LeaseTakenError, match=refusal), sweep_lease(storage, "digits"):
        pass
    assert holder(storage) == Holder(other.pid or 0, os.uname().nodename)


def test_a_killed_driver_leaves_no_lease(
    storage: Storage, other: BaseProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_store, "LEASE_SECONDS", 3.0)
    other.kill()
    other.join()
    with sweep_lease(storage, "digits"):
        assert holder(storage) == Holder(os.getpid(), os.uname().nodename)
    assert holder(storage) is None


def test_a_store_that_cannot_be_used_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    storage = open_storage(str(tmp_path / "file")).folder("digits")
    with (
        pytest.raises(SweepError, match=r"checkpoint store .*file.*SNN_SWEEP_STORAGE"),
        sweep_lease(storage, "digits"),
    ):
        pass


def test_a_store_that_cannot_be_written_is_explained_by_both_settings(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    storage = open_storage(str(tmp_path / "file" / "storage")).folder("digits")
    with (
        pytest.raises(SweepError, match="is in SNN_SWEEP_HOME, unless SNN_SWEEP_STORAGE names"),
        sweep_lease(storage, "digits"),
    ):
        pass
