"""``snn-sweep plan --probe``: which cells will collapse, said before they are trained."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from orchestration.cli.console import err, out

if TYPE_CHECKING:  # `--help` needs neither
    from orchestration.execution.probe import Probed
    from orchestration.sweep.plan import Plan


def probe_cells(plan: Plan, data: Path, cpus: float) -> list[Probed]:
    """Probe each cell that has trials to train; on a terminal, with a bar."""
    from rich.progress import track

    from orchestration.execution.probe import probe, to_probe

    trials = to_probe(plan)
    err.print(f"probing {len(trials)} cells, one batch through the network of each")
    found = probe(trials, data, max(1, int(cpus)))
    bar = track(found, "probing", len(trials), console=err, transient=True, show_speed=False)
    with redirect_stdout(sys.stderr):  # a user's own network may print, and a plan may be JSON
        return list(bar)


def print_probed(found: Sequence[Probed]) -> None:
    """Warn of cells that are predicted to collapse, and name those of which nothing is known."""
    for warning in filter(None, (one.warning() for one in found)):
        err.print(f"warning: {warning}")
    known = [one.prediction for one in found if one.prediction is not None]
    collapsing = sum(prediction.collapses for prediction in known)
    out.print(
        f"probe: {collapsing} of {len(found)} cells predicted to collapse, "
        f"{len(found) - len(known)} unknown"
    )
