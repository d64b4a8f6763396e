"""The short answers: their commands and programs run, on a small sweep, and their keys are keys."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from console_page import Command, run

from orchestration import SweepSpec

PAGE = (Path(__file__).parents[1] / "docs" / "how-do-i.md").read_text(encoding="utf-8")

SPEC: dict[str, Any] = {
    "name": "digits",
    "dataset": "digits",
    "epochs": 1,
    "seeds": [42, 123],
    "training": {"batch_size": 256},
    "grid": [
        {"architecture": "ann", "norm": ["none", "batchnorm"], "width": 2, "image_size": 8},
        {"architecture": "snn", "norm": ["none", "bntt", "homeostatic"], "num_steps": 2,
         "width": 2, "image_size": 8},
    ],
}  # fmt: skip

NEEDS_MORE = {
    "--cluster": "a Ray cluster",
    "--at 0.1.0 0.2.0": "trials of two versions of this package",
    "stop NAME": "a sweep that runs",
    "SNN_SWEEP_NOTIFY": "a mailbox",
}
"""What these lines need that the test does not have."""

STANDS_FOR = {"SPEC": "digits.yaml", "NAME": "digits", "FIRST SECOND": "digits headline-published"}

PROGRAMS = [
    code for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL) if "tonic" not in code
]


def blocks() -> list[str]:
    """The indented blocks of the page."""
    without_programs = re.sub(r"```python\n.*?```", "", PAGE, flags=re.DOTALL)
    found = re.findall(r"(?:^    .*\n)+", without_programs, re.MULTILINE)
    return [re.sub(r"^    ", "", block, flags=re.MULTILINE) for block in found]


def commands() -> list[str]:
    """The commands that need no more than a finished sweep, in the page's order."""
    lines = [line for block in blocks() for line in block.splitlines() if "snn-sweep" in line]
    return [line for line in lines if not any(part in line for part in NEEDS_MORE)]


def test_the_keys_that_an_answer_shows_are_keys_of_a_spec() -> None:
    shown = [yaml.safe_load(block) for block in blocks() if "snn-sweep" not in block]
    assert len(shown) >= 5
    for keys in shown:
        assert isinstance(keys, dict)
        SweepSpec.from_dict({**SPEC, **keys}).trials()


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(3000)
def test_commands_and_programs_of_the_answers_run(tmp_path: Path) -> None:
    (tmp_path / "digits.yaml").write_text(yaml.safe_dump(SPEC), encoding="utf-8")
    home = tmp_path / "home"
    assert len(commands()) >= 12
    for line in commands():
        for word, stands_for in STANDS_FOR.items():
            line = line.replace(word, stands_for)
        run(Command(line, ""), tmp_path, home)
    assert len(PROGRAMS) >= 5
    (tmp_path / "programs.py").write_text("\n".join(PROGRAMS), encoding="utf-8")
    run(Command(f"{sys.executable} programs.py", ""), tmp_path, home)
    assert (tmp_path / "curves.pdf").exists()
