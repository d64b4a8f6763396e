"""Runs the commands of a page as a reader would, and compares what they print.

    $ a command
    what it prints on standard output

stands in a block of ``console``. Numbers, keys of trials and widths of columns may differ.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Command:
    """A command of a page, and what the page says that it prints."""

    text: str
    printed: str


def commands_of(page: str) -> list[Command]:
    """The commands of a page's blocks, in their order."""
    found = []
    for block in re.findall(r"^```console\n(.*?)^```", page, re.DOTALL | re.MULTILINE):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            last = 0
            if document := re.search(r"<<'(\w+)'", lines[0]):
                last = lines.index(document[1])
            while lines[last].endswith("\\"):
                last += 1
            found.append(Command("\n".join(lines[: last + 1]), "\n".join(lines[last + 1 :])))
    return found


def run(command: Command, folder: Path, home: Path) -> str:
    """What a command prints on standard output, in a terminal of 100 columns."""
    named = ("MLFLOW_TRACKING_URI", "SNN_SWEEP_DATABASE_URL", "SNN_SWEEP_STORAGE", "RAY_ADDRESS")
    environment = {name: value for name, value in os.environ.items() if name not in named}
    environment |= {
        "HOME": str(home), "SNN_SWEEP_HOME": str(home / ".snn-sweep"), "COLUMNS": "100",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    ended = subprocess.run(
        ["bash", "-c", command.text], cwd=folder, env=environment, capture_output=True, text=True,
        check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 0, f"{command.text}\n{ended.stdout}\n{ended.stderr}"
    return ended.stdout


def masked(text: str) -> list[str]:
    """The lines of an output, without what differs from machine to machine."""
    text = re.sub(r"\b[0-9a-f]{16}\b", "KEY", text)
    text = re.sub(r"[0-9]+([.,][0-9]+)*", "N", text)
    text = re.sub(r"collapsed N/N", "N/N", text)  # a seed may learn on another processor
    text = re.sub(r"[─\s-]+", " ", text)
    return text.split()
