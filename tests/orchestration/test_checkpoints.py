from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from orchestration.checkpoints import CheckpointStore

STATE = {"model": {"weight": torch.arange(4.0)}, "history": [{"epoch": 1}]}


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "a trial é")


def test_gives_back_the_newest(store: CheckpointStore) -> None:
    store.save(STATE)
    store.save({**STATE, "history": [{"epoch": 1}, {"epoch": 2}]})
    state = store.load()
    assert state is not None
    assert state["history"] == [{"epoch": 1}, {"epoch": 2}]
    assert torch.equal(state["model"]["weight"], torch.arange(4.0))


def test_nothing_saved_gives_nothing_and_creates_nothing(store: CheckpointStore) -> None:
    assert store.load() is None
    assert not store.folder.exists()


@pytest.mark.parametrize("keep", [0, 100, -1])
def test_a_truncated_newest_falls_back_to_the_one_before(store: CheckpointStore, keep: int) -> None:
    store.save({"epoch": 1})
    store.save({"epoch": 2})
    newest = store.folder / "checkpoint.pt"
    newest.write_bytes(newest.read_bytes()[:keep])
    with pytest.warns(UserWarning, match=r"checkpoint\.pt is damaged"):
        assert store.load() == {"epoch": 1}


def test_an_unfinished_save_is_never_read(store: CheckpointStore) -> None:
    store.save({"epoch": 1})
    (store.folder / "unfinished-1.pt").write_bytes(b"half a checkpoint")
    assert store.load() == {"epoch": 1}
    store.save({"epoch": 2})
    assert store.load() == {"epoch": 2}


def test_a_full_disk_leaves_the_checkpoints_as_they_were(store: CheckpointStore) -> None:
    store.save({"epoch": 1})
    # A limit on a file's size stands for the full disk; it holds for that process alone.
    program = (
        "import resource, signal, sys, torch\n"
        "from pathlib import Path\n"
        "from orchestration.checkpoints import CheckpointStore\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "try:\n"
        "    CheckpointStore(Path(sys.argv[1])).save({'w': torch.zeros(100_000)})\n"
        "except OSError:\n"
        "    print('refused')\n"
    )
    command = [sys.executable, "-c", program, str(store.folder)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "refused\n"
    assert store.load() == {"epoch": 1}
    assert [path.name for path in store.folder.iterdir()] == ["checkpoint.pt"]


def test_remove_deletes_the_checkpoints_alone(store: CheckpointStore) -> None:
    store.save({"epoch": 1})
    store.save({"epoch": 2})
    (store.folder / "spool.jsonl").touch()
    store.remove()
    assert [path.name for path in store.folder.iterdir()] == ["spool.jsonl"]
    store.remove()
