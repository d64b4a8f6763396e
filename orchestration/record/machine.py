"""Tags that describe where a trial ran: machine, software and commit."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil

import snn_norm

MACHINE_TAG, SOFTWARE_TAG = "snn_sweep.machine", "snn_sweep.software"
COMMIT_TAG = "snn_sweep.commit"
ENGINE_TAG = "snn_sweep.engine"
"""How the spiking layers computed: eager, numba or compiled."""


def machine_tags(device: str) -> dict[str, str]:
    """Describe where this process runs, without naming the machine or its user.

    Args:
        device: the device that the trial computes on, such as ``cpu`` or ``cuda``.

    Returns:
        Machine (processor, cores, memory, GPU), software (Python, torch, snnTorch, CUDA) and, if
        this package is used from a git checkout, its commit.
    """
    import torch  # reports import the names above, and need no torch

    memory = psutil.virtual_memory().total / 2**30
    parts = [f"{os.cpu_count()} × {_processor()}, {memory:.0f} GiB"]
    software = [f"{name} {version(name)}" for name in ("torch", "snntorch")]
    if torch.device(device).type == "cuda":
        parts.append(torch.cuda.get_device_name(device))
        software.append(f"CUDA {torch.version.cuda}")
        has_tf32 = torch.cuda.get_device_capability(device) >= (8, 0)
        forbidden = os.environ.get("NVIDIA_TF32_OVERRIDE") == "0"
        if has_tf32 and torch.backends.cudnn.allow_tf32 and not forbidden:
            software.append("float32 convolutions in TF32")
    tags = {
        MACHINE_TAG: "; ".join(parts),
        SOFTWARE_TAG: ", ".join([f"Python {platform.python_version()}", *software]),
    }
    commit = _commit(Path(snn_norm.__file__).parent)
    return tags | ({COMMIT_TAG: commit} if commit else {})


def _processor() -> str:
    """The processor's name, which Linux keeps in a file of its own."""
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()


def _commit(package: Path) -> str | None:
    """The commit of the checkout that holds this package; None if it is installed elsewhere."""

    def git(*arguments: str) -> str | None:
        try:
            done = subprocess.run(
                ["git", "-C", str(package), *arguments], capture_output=True, text=True, timeout=10
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout.strip() if done.returncode == 0 else None

    # A virtual environment may lie in somebody else's checkout, which does not track the package.
    if git("ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit = git("rev-parse", "HEAD")
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/")
    return f"{commit} with uncommitted changes" if commit and changed else commit
