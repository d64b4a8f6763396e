from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from services.make_secrets import NAMES

SCRIPT = Path(__file__).parents[2] / "services" / "make_secrets.py"


def make(folder: Path) -> str:
    """Run it as `make secrets` does, with Python alone."""
    done = subprocess.run(
        [sys.executable, "-ISE", str(SCRIPT), str(folder)],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout + done.stderr


def test_secrets_are_made_once_and_never_printed(tmp_path: Path) -> None:
    folder = tmp_path / "a folder" / "é"
    told = make(folder)
    first = {path.name: path.read_text() for path in folder.iterdir()}
    assert sorted(first) == sorted(NAMES)
    assert len(set(first.values())) == len(NAMES)
    assert all(len(secret) == 64 for secret in first.values())
    (folder / "ray_token").unlink()
    told += make(folder)
    second = {path.name: path.read_text() for path in folder.iterdir()}
    changed = {name for name in NAMES if first[name] != second[name]}
    assert changed == {"ray_token"}
    assert not [name for name in NAMES if first[name] in told or second[name] in told]


def test_nobody_else_on_the_machine_can_reach_them(tmp_path: Path) -> None:
    make(tmp_path / "secrets")
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
    # In a container they are read by another user than the one who made them.
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "secrets").iterdir()} == {0o444}
