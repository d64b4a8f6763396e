"""Sweeps over architecture, norm and seed: run by Ray Tune, recorded in MLflow, read back."""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from orchestration.cluster.submit import submit_sweep
    from orchestration.execution.run import run_sweep
    from orchestration.report.notebook import Results
    from orchestration.sweep.spec import SweepSpec

# MLflow's telemetry removes an environment variable in a thread of its own. A request that reads
# the environment at that moment fails. It would also send reports from every trial.
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

# Code that retries something reports it in its own messages.
logging.getLogger("stamina").setLevel(logging.ERROR)

__all__ = ["Results", "SweepSpec", "run_sweep", "submit_sweep"]

# Imported when they are first used: Ray and MLflow take seconds to import.
__getattr__ = lazily(
    __name__,
    {
        "Results": "orchestration.report.notebook",
        "SweepSpec": "orchestration.sweep.spec",
        "run_sweep": "orchestration.execution.run",
        "submit_sweep": "orchestration.cluster.submit",
    },
)


def main() -> None:
    """The command ``snn-sweep``; if packages are missing, it explains how to install them."""
    try:
        from orchestration.cli.main import cli
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] in ("orchestration", "services"):
            raise
        sys.stderr.write(
            f"snn-sweep needs {error.name}, which is not installed: the plain package is the "
            "library alone. Install the sweep service with: pip install 'snn-norm[sweep]'\n"
        )
        raise SystemExit(2) from None
    cli()
