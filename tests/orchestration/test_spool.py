from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.spool import Spool, SupersededError, read_spool


def test_a_line_that_a_crash_cut_short_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    spool = Spool(path)
    spool.append({"step": 1})
    spool.append({"step": 2})
    spool.close()
    path.write_bytes(path.read_bytes()[:-3])
    spool = Spool(path)
    assert spool.epochs == {1}
    spool.append({"step": 3})
    spool.close()
    steps = [entry["step"] for entry in read_spool(path) if "step" in entry]
    assert steps == [1, 3]


def test_an_attempt_that_has_been_superseded_can_write_no_more(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    first = Spool(path)
    first.append({"step": 1})
    assert first.is_new
    second = Spool(path)
    assert not second.is_new
    with pytest.raises(SupersededError):
        first.append({"step": 2})
    second.append({"step": 2})
    with pytest.raises(SupersededError):
        first.append({"step": 3})
    assert second.epochs == {1, 2}
    first.close()
    second.close()


def test_a_full_disk_leaves_the_spool_readable(tmp_path: Path) -> None:
    path = tmp_path / "spool.jsonl"
    # A limit on a file's size stands for the full disk; it holds for that process alone.
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from orchestration.spool import Spool\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (80, 80))\n"
        "spool = Spool(Path(sys.argv[1]))\n"
        "spool.append({'step': 1})\n"
        "try:\n"
        "    spool.append({'step': 2, 'metrics': {'test_accuracy': 0.123456789}})\n"
        "except OSError:\n"
        "    print('refused')\n"
    )
    command = [sys.executable, "-c", program, str(path)]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout == "refused\n"
    assert read_spool(path)[1:] == [{"step": 1}]


def test_attempts_in_vain_are_those_of_one_driver_since_the_last_epoch(tmp_path: Path) -> None:
    def attempt(driver: str, *steps: int) -> int:
        spool = Spool(tmp_path / "spool.jsonl", driver)
        for step in steps:
            spool.append({"step": step})
        spool.close()
        return spool.attempts_in_vain

    assert attempt("first") == 1
    assert attempt("first") == 2
    assert attempt("second") == 1
    assert attempt("second") == 2
    assert attempt("second", 1) == 0
    assert attempt("second") == 1
