"""The kernels that a GPU would run: the Triton that torch.compile writes for it, interpreted."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EQUALITIES = HERE / "test_kernels.py::test_compiled_neurons_are_the_eager_ones"


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="Triton is not installed")
def test_in_triton_too_compiled_neurons_are_the_eager_ones(tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": str(HERE),
        "TORCHINDUCTOR_CACHE_DIR": str(tmp_path),
        "TRITON_INTERPRET": "1",
    }
    options = ["-p", "triton_interpreter", "-p", "no:cacheprovider", "-W", "ignore"]
    told = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(EQUALITIES)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    assert "5 passed" in told.stdout
    written = [path.read_text() for path in tmp_path.rglob("*.py")]
    assert any("@triton.jit" in code for code in written)
    assert not list(tmp_path.rglob("*.cpp"))
