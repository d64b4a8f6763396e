"""What holds of a checkpoint store of either kind."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from orchestration.errors import InputError
from orchestration.store.base import Storage, SupersededError
from orchestration.store.open import open_storage, sweep_storage
from services.settings import Settings


def test_a_file_is_written_replaced_and_deleted(storage: Storage) -> None:
    assert storage.read("a") is None
    storage.write("a", b"1", previous="b")
    assert (storage.read("a"), storage.read("b")) == (b"1", None)
    storage.write("a", b"2", previous="b")
    storage.write("a", b"3", previous="b")
    assert (storage.read("a"), storage.read("b")) == (b"3", b"2")
    storage.write("a", b"")
    assert (storage.read("a"), storage.read("b")) == (b"", b"2")
    storage.delete("a", "c")
    assert (storage.read("a"), storage.read("b")) == (None, b"2")


def test_folders_are_those_that_hold_something(storage: Storage) -> None:
    assert storage.folders() == []
    first, second = storage.folder("é ü"), storage.folder("k%2f")
    for folder in (first, second):
        folder.write("a", b"1")
        folder.folder("inside").write("a", b"1")
    storage.write("a", b"1")
    assert sorted(storage.folders(), key=str) == sorted([first, second], key=str)
    assert {folder.name for folder in storage.folders()} == {"é ü", "k%2f"}
    first.delete_all()
    first.delete_all()
    assert storage.folders() == [second]
    assert second.folder("inside").read("a") == storage.read("a") == b"1"


def test_its_size_is_that_of_all_that_it_holds(storage: Storage) -> None:
    assert storage.size() == 0
    storage.write("a", b"1")
    storage.folder("é ü").folder("inside").write("a", b"12")
    assert storage.size() == 3
    assert storage.folder("é ü").size() == 2


def test_it_can_be_sent_to_another_process(storage: Storage) -> None:
    storage.write("a", b"1")
    sent = pickle.loads(pickle.dumps(storage))
    assert sent == storage
    assert sent.read("a") == b"1"
    assert str(sent) == str(storage)


def test_a_journal_has_one_writer(storage: Storage) -> None:
    first = storage.journal("j", b"first\n")
    first.append(b"1\n")
    second = storage.journal("j", b"second\n")
    assert second.lines == [b"first\n", b"1\n", b"second\n"]
    with pytest.raises(SupersededError, match=r"another attempt has taken over .*j"):
        first.append(b"2\n")
    second.append(b"2\n")
    assert storage.read("j") == b"first\n1\nsecond\n2\n"
    first.close()
    second.close()


def test_a_lock_is_held_once_and_let_go_of(storage: Storage) -> None:
    lock = storage.lock("l")
    assert lock.owner() is None
    held = lock.take(b"somebody")
    assert held is not None
    assert lock.owner() == storage.lock("l").owner() == b"somebody"
    assert lock.take(b"somebody else") is None
    assert not held.lost
    held.release()
    assert lock.owner() is None
    held = storage.lock("l").take(b"x")
    assert held is not None
    assert lock.owner() == b"x"
    held.release()


def test_looking_creates_nothing(storage: Storage) -> None:
    assert storage.lock("l").owner() is None
    assert storage.read("a") is None
    storage.delete("a")
    storage.delete_all()
    assert storage.folders() == []
    if isinstance(path := getattr(storage, "path", None), Path):
        assert not path.exists()


def test_the_folder_of_a_sweep_has_a_name_that_a_file_system_takes(tmp_path: Path) -> None:
    settings = Settings.from_environment({"SNN_SWEEP_STORAGE": str(tmp_path)})
    assert sweep_storage(settings, "é").name == "é"
    long = [sweep_storage(settings, "é" * 127 + last) for last in "éa"]
    for storage in long:
        storage.write("a", b"1")
    assert len(open_storage(str(tmp_path)).folders()) == 2


OUTSIDE = ["", ".", "..", "./a", "a/", "a/b", "x/../a", "/a", "../a", "a\\b", "a\0", " a"]


@pytest.mark.parametrize("name", OUTSIDE)
def test_a_folder_lies_nowhere_but_directly_below(storage: Storage, name: str) -> None:
    storage.folder("a").write("f", b"1")
    with pytest.raises(ValueError, match="must"):
        storage.folder(name)


@pytest.mark.parametrize("name", [*OUTSIDE, 100 * "é" + "/a"])
@pytest.mark.parametrize("storage", ["s3://bucket/sweeps", "/srv/sweeps"])
def test_a_name_that_no_sweep_can_have_opens_no_folder(storage: str, name: str) -> None:
    settings = Settings.from_environment({"SNN_SWEEP_STORAGE": storage})
    with pytest.raises(InputError, match="the name of a sweep must"):
        sweep_storage(settings, name)


def test_no_sweep_can_be_called_as_the_folder_of_one_with_a_long_name(tmp_path: Path) -> None:
    settings = Settings.from_environment({"SNN_SWEEP_STORAGE": str(tmp_path)})
    long = sweep_storage(settings, "é" * 128)
    assert sweep_storage(settings, long.name) != long
