"""A process that drives a sweep, as far as the sweep's lease and Ctrl-C are concerned."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DRIVER = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from services.settings import Settings
with sweep_lease(sweep_storage(Settings.from_environment(), sys.argv[1]), sys.argv[1]):
    print("drives", flush=True)
    try:
        time.sleep(600)
    except KeyboardInterrupt:
        print("stopped", flush=True)
"""


@contextmanager
def driving(home: Path, name: str) -> Iterator[subprocess.Popen[str]]:
    """Give the process that drives this sweep from this home, and kill it afterwards."""
    environment = {**os.environ, "SNN_SWEEP_HOME": str(home)}
    process = subprocess.Popen(
        [sys.executable, "-c", _DRIVER, name], env=environment, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "drives\n"
        yield process
    finally:
        process.kill()
        process.communicate()
