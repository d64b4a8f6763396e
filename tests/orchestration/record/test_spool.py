from __future__ import annotations

import pytest

from orchestration.record.spool import Spool, read_spool
from orchestration.store.base import Storage, SupersededError


def test_what_is_spooled_is_read_again(storage: Storage) -> None:
    assert read_spool(storage) == []
    spool = Spool(storage)
    assert spool.is_new
    entries = [{"run_id": "r"}, {"step": 1, "metrics": {"é": 0.1}}, {"outcome": "completed"}]
    for entry in entries:
        spool.append(entry)
    spool.close()
    assert read_spool(storage)[1:] == entries
    spool = Spool(storage)
    assert spool.entries[1:-1] == entries
    assert (spool.run_id, spool.epochs, spool.ending) == ("r", {1}, entries[-1])
    assert not spool.is_new
    spool.close()


def test_an_attempt_that_has_been_superseded_can_write_no_more(storage: Storage) -> None:
    first = Spool(storage)
    first.append({"step": 1})
    second = Spool(storage)
    with pytest.raises(SupersededError):
        first.append({"step": 2})
    second.append({"step": 2})
    with pytest.raises(SupersededError):
        first.append({"step": 3})
    assert second.epochs == {1, 2}
    assert first.epochs == {1}
    first.close()
    second.close()


def test_attempts_in_vain_are_those_of_one_driver_since_the_last_epoch(storage: Storage) -> None:
    def attempt(driver: str, *steps: int) -> int:
        spool = Spool(storage, driver)
        for step in steps:
            spool.append({"step": step})
        spool.close()
        return spool.attempts_in_vain

    assert attempt("first") == 1
    assert attempt("first") == 2
    assert attempt("second") == 1
    assert attempt("second", 0) == 2
    assert attempt("second") == 3
    assert attempt("second", 1) == 0
    assert attempt("second") == 1


def test_a_checkpoint_within_an_epoch_is_progress_too(storage: Storage) -> None:
    def attempt(node: str, *entries: dict[str, int]) -> list[str]:
        spool = Spool(storage, "driver", node)
        for entry in entries:
            spool.append(entry)
        spool.close()
        assert spool.attempts_in_vain == len(spool.nodes_in_vain)
        return spool.nodes_in_vain

    assert attempt("a", {"step": 0}) == ["a"]
    assert attempt("b") == ["b", "a"]
    assert attempt("c", {"saved_within_epoch": 1}) == []
    assert attempt("d") == ["d"]
