"""``snn-sweep plan --probe``: warns of cells that will collapse, before they are trained."""

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
    """Probe each cell that has trials to train; shows a progress bar on a terminal."""
    from rich.progress import track

    from orchestration.execution.probe import probe, to_probe

    trials = to_probe(plan)
    err.print(f"probing {len(trials)} cells, one batch through the network of each")
    probing = probe(trials, data, max(1, int(cpus)))
    bar = track(probing, "probing", len(trials), console=err, transient=True, show_speed=False)
    with redirect_stdout(sys.stderr):  # the user's own network may print, and a plan may be JSON
        return list(bar)


def print_probed(cells: Sequence[Probed]) -> None:
    """Warn of cells that are predicted to collapse, and of those without a prediction."""
    for warning in filter(None, (cell.warning() for cell in cells)):
        err.print(f"warning: {warning}")
    predictions = [cell.prediction for cell in cells if cell.prediction is not None]
    collapsing = sum(prediction.collapses for prediction in predictions)
    out.print(
        f"probe: {collapsing} of {len(cells)} cells predicted to collapse, "
        f"{len(cells) - len(predictions)} unknown"
    )
