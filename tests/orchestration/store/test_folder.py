from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.store.folder import FolderStorage


@pytest.fixture
def storage(tmp_path: Path) -> FolderStorage:
    return FolderStorage(tmp_path / "a trial é")


def limited(storage: FolderStorage, limit: int, act: str) -> str:
    """What an act prints where no file may be larger than this many bytes.

    The limit stands for a full disk; it holds for that process alone.
    """
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from orchestration.store.folder import FolderStorage\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        "storage = FolderStorage(Path(sys.argv[1]))\n"
        f"{act}\n"
    )
    command = [sys.executable, "-c", program, str(storage.path)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_an_unfinished_write_is_never_read_and_goes_with_its_file(storage: FolderStorage) -> None:
    storage.write("a", b"whole")
    (storage.path / "a.1.unfinished").write_bytes(b"ha")
    assert storage.read("a") == b"whole"
    storage.delete("a")
    assert list(storage.path.iterdir()) == []


def test_a_full_disk_leaves_the_files_as_they_were(storage: FolderStorage) -> None:
    storage.write("a", b"1")
    act = (
        "try:\n"
        "    storage.write('a', bytes(100_000), previous='b')\n"
        "except OSError:\n"
        "    print('refused')\n"
    )
    assert limited(storage, 10_000, act) == "refused\n"
    assert storage.read("a") == b"1"
    assert [path.name for path in storage.path.iterdir()] == ["a"]


def test_a_disk_that_takes_no_file_at_all_says_why(storage: FolderStorage) -> None:
    act = (
        "resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))\n"
        "try:\n"
        "    storage.write('a', b'1')\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    assert limited(storage, 10_000, act) == "Too many open files\n"


def test_a_full_disk_leaves_the_journal_as_it_was(storage: FolderStorage) -> None:
    act = (
        "journal = storage.journal('j', b'first\\n')\n"
        "journal.append(b'1\\n')\n"
        "try:\n"
        "    journal.append(bytes(80) + b'\\n')\n"
        "except OSError:\n"
        "    print('refused')\n"
        "journal.append(b'2\\n')\n"
    )
    assert limited(storage, 80, act) == "refused\n"
    assert storage.read("j") == b"first\n1\n2\n"


def test_a_line_that_a_crash_cut_short_is_dropped(storage: FolderStorage) -> None:
    journal = storage.journal("j", b"first\n")
    journal.append(b"1\n")
    journal.append(b"2 is long\n")
    journal.close()
    path = storage.path / "j"
    path.write_bytes(path.read_bytes()[:-3])
    journal = storage.journal("j", b"second\n")
    assert journal.lines == [b"first\n", b"1\n", b"second\n"]
    journal.close()
    assert path.read_bytes() == b"first\n1\nsecond\n"
