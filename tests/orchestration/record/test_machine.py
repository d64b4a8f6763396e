"""What a trial says of where it ran."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
import torch

import snn_norm
from orchestration.record import machine
from orchestration.record.machine import COMMIT_TAG, MACHINE_TAG, SOFTWARE_TAG, machine_tags


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
    done = subprocess.run(
        ["git", "-C", str(folder), *identity, *arguments],
        capture_output=True,
        check=True,
        text=True,
    )
    return done.stdout.strip()


def test_machine_and_software_without_the_machines_name() -> None:
    tags = machine_tags("cpu")
    assert tags[MACHINE_TAG].startswith(f"{os.cpu_count()} × ")
    assert tags[MACHINE_TAG].endswith(" GiB")
    assert tags[SOFTWARE_TAG].startswith(f"Python {platform.python_version()}, torch ")
    assert socket.gethostname() not in "".join(tags.values())


def test_a_gpu_is_named_and_whether_its_float32_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPU's name is all that is asked of it, and its generation."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"the GPU {device}")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (8, 0))
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    tags = machine_tags("cuda")
    assert tags[MACHINE_TAG].endswith(" GiB; the GPU cuda")
    assert tags[SOFTWARE_TAG].endswith(", CUDA 13.0, float32 convolutions in TF32")
    with monkeypatch.context() as patch:
        patch.setenv("NVIDIA_TF32_OVERRIDE", "0")
        assert machine_tags("cuda")[SOFTWARE_TAG].endswith(", CUDA 13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _: (7, 5))
    assert machine_tags("cuda")[SOFTWARE_TAG].endswith(", CUDA 13.0")


@pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")
def test_the_commit_is_that_of_a_checkout_that_tracks_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "snn_norm"
    package.mkdir()
    (package / "__init__.py").touch()
    monkeypatch.setattr(snn_norm, "__file__", str(package / "__init__.py"))
    assert COMMIT_TAG not in machine_tags("cpu")
    git(tmp_path, "init", "--quiet")
    (tmp_path / "other").touch()
    git(tmp_path, "add", "other")
    git(tmp_path, "commit", "--quiet", "-m", "without the package")
    assert COMMIT_TAG not in machine_tags("cpu")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "with it")
    commit = git(tmp_path, "rev-parse", "HEAD")
    assert machine_tags("cpu")[COMMIT_TAG] == commit
    (package / "__init__.py").write_text("changed = True\n")
    assert machine_tags("cpu")[COMMIT_TAG] == f"{commit} with uncommitted changes"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert machine._commit(package) is None
