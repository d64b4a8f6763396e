"""What `make faults` runs: each fault in so many rounds, a round of all before the next."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest


@pytest.mark.slow
def test_rounds_of_each_fault_one_after_the_other() -> None:
    environment = {**os.environ, "SNN_TEST_FAULT_ROUNDS": "2", "SNN_TEST_FAULT_SEED": "70"}
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", str(Path(__file__).parent)]
    told = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    found = re.findall(r"::(test_\w+)\[\w+-seed(\d+)(-\d+)?\]", told.stdout)
    seeds = [seed for _, seed, _ in found]
    assert seeds == sorted(seeds)
    of_each = Counter((fault, seed, away) for fault, seed, away in found)
    assert set(of_each.values()) == {1}
    faults = {(fault, away) for fault, _, away in found}
    assert len(faults) == 38
    assert set(of_each) == {(fault, seed, away) for fault, away in faults for seed in ("70", "71")}
