"""Sweeps over architecture, norm and seed: run by Ray Tune, recorded in MLflow, read back.

The names below are loaded when they are first used, since Ray and MLflow take seconds to import.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestration.analysis import Results
    from orchestration.driver import run_sweep
    from orchestration.spec import SweepSpec
    from orchestration.submit import submit_sweep

__all__ = ["Results", "SweepSpec", "run_sweep", "submit_sweep"]

_HOMES = {
    "Results": "orchestration.analysis",
    "SweepSpec": "orchestration.spec",
    "run_sweep": "orchestration.driver",
    "submit_sweep": "orchestration.submit",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def main() -> None:
    """The command ``snn-sweep``; without the packages it needs, it says how to get them."""
    try:
        from orchestration.cli import cli
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("orchestration", "services"):
            raise
        sys.stderr.write(
            f"snn-sweep needs {error.name}, which is not installed: the plain package is the "
            "library alone. Install the sweep service with: pip install 'snn-norm[sweep]'\n"
        )
        raise SystemExit(2) from None
    cli()
