from __future__ import annotations

import pytest
import torch

from orchestration.store.base import Storage
from orchestration.store.checkpoints import CheckpointStore

STATE = {"model": {"weight": torch.arange(4.0)}, "history": [{"epoch": 1}]}


@pytest.fixture
def store(storage: Storage) -> CheckpointStore:
    return CheckpointStore(storage)


def test_gives_back_the_newest(store: CheckpointStore) -> None:
    store.save(STATE)
    store.save({**STATE, "history": [{"epoch": 1}, {"epoch": 2}]})
    state = store.load()
    assert state is not None
    assert state["history"] == [{"epoch": 1}, {"epoch": 2}]
    assert torch.equal(state["model"]["weight"], torch.arange(4.0))


def test_nothing_saved_gives_nothing(store: CheckpointStore) -> None:
    assert store.load() is None


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_newest_falls_back_to_the_one_before(
    store: CheckpointStore, storage: Storage, keep: int
) -> None:
    store.save({"epoch": 1})
    store.save({"epoch": 2})
    newest = storage.read("checkpoint.pt")
    assert newest is not None
    storage.write("checkpoint.pt", newest[:keep])
    with pytest.warns(UserWarning, match=r"checkpoint\.pt in .* is damaged"):
        assert store.load() == {"epoch": 1}


def test_remove_deletes_the_checkpoints_alone(store: CheckpointStore, storage: Storage) -> None:
    store.save({"epoch": 1})
    store.save({"epoch": 2})
    storage.write("spool.jsonl", b"")
    store.remove()
    assert store.load() is None
    assert storage.read("spool.jsonl") == b""
    store.remove()
