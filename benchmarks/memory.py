"""What this process holds in memory, as Linux counts it.

``ru_maxrss`` will not do: a process begins with that of the one that started it.
"""

from __future__ import annotations

import re
from pathlib import Path


def resident() -> int:
    """Bytes at present."""
    return _bytes("VmRSS")


def peak_resident() -> int:
    """The most bytes since the process began or :func:`reset_peak` was called."""
    return _bytes("VmHWM")


def reset_peak() -> None:
    """Begin the peak anew at what is held at present."""
    Path("/proc/self/clear_refs").write_text("5")


def _bytes(field: str) -> int:
    found = re.search(rf"{field}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024
