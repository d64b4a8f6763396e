"""Completion in real shells, and how long it takes."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(sys.executable).with_name("snn-sweep")


def shell(*command: str) -> str:
    """What a shell prints that finds snn-sweep."""
    path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
    ended = subprocess.run(
        command, env={**os.environ, "PATH": path}, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def completed_by_bash(*words: str) -> list[str]:
    typed = " ".join(f"'{word}'" for word in words)
    script = (
        'eval "$(snn-sweep completion bash)"\n'
        f"COMP_WORDS=({typed}); COMP_CWORD={len(words) - 1}\n"
        'compopt() { echo "compopt ${@: -1}"; }\n'  # which works in a completion alone
        '_snn_sweep_completion snn-sweep\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )
    return shell("bash", "-c", script).split("\n")[:-1]


@pytest.mark.usefixtures("home")
def test_bash_completes_commands_specs_and_files() -> None:
    assert completed_by_bash("snn-sweep", "rep") == ["report", "reproduce"]
    assert completed_by_bash("snn-sweep", "plan", "d") == ["decided", "digits"]
    assert completed_by_bash("snn-sweep", "run", "sm") == ["small.yaml"]
    assert "compopt default" in completed_by_bash("snn-sweep", "run", "specs/")
    assert completed_by_bash("snn-sweep", "plan", "--j") == ["--json"]


def test_bash_completes_the_names_of_sweeps_that_have_a_log(home: Path) -> None:
    for name in ("small", "small-2", "large"):
        (home / "logs" / name).mkdir(parents=True)
    for command in ("results", "report", "stop", "export", "models", "compare", "paper"):
        assert completed_by_bash("snn-sweep", command, "s") == ["small", "small-2"], command


@pytest.mark.skipif(not shutil.which("fish"), reason="fish is not installed")
def test_fish_completes_specs() -> None:
    script = 'snn-sweep completion fish | source; complete -C "snn-sweep plan di"'
    assert "digits" in shell("fish", "--no-config", "-c", script).split()


@pytest.mark.skipif(not shutil.which("zsh"), reason="zsh is not installed")
def test_zsh_takes_the_completion() -> None:
    script = (
        "autoload -U compinit; compinit -u -D\n"
        'eval "$(snn-sweep completion zsh)"; print $_comps[snn-sweep]'
    )
    assert shell("zsh", "-f", "-c", script) == "_snn_sweep_completion\n"
