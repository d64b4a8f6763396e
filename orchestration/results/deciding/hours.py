"""What a trial of each cell costs, by the epochs on record. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import fmean

from orchestration.model.config import Config
from orchestration.model.epoch_seconds import possible_seconds
from orchestration.sweep.spec import SweepSpec
from snn_norm.config import RunConfig


def hours_unit(spec: SweepSpec) -> str:
    """Whose hours a sweep's are: ``GPU``, or ``core`` where its trials have no GPU."""
    return "GPU" if spec.resources.gpu else "core"


def trial_hours(
    spec: SweepSpec, epochs: Iterable[tuple[int, float, str | None]]
) -> list[float] | None:
    """About how many GPU hours a trial of each cell takes; of processor cores without a GPU.

    Epochs of the same cell tell, else those of the same architecture, else any: by cost, so that
    one tells something of others that cost more or less. A trial that shares a GPU by
    ``gpu: auto`` counts as if it had all of it.

    Args:
        spec: the sweep's.
        epochs: one of each trial on record: its cell, the epoch's seconds, and the trial's outcome,
            since one that collapses may stop early.

    Returns:
        One a cell; None where nothing is on record, or trials go on until their code is done.
    """
    cells = spec.cells()
    if any(cell.epochs is None for cell in cells):
        return None
    samples: dict[object, list[float]] = {}
    for cell, seconds, outcome in epochs:
        if possible_seconds(seconds) is None:
            continue
        config = cells[cell]
        trained = seconds * _epochs(config, outcome)
        samples.setdefault(cell, []).append(trained)
        for group in (config.kind, ""):
            samples.setdefault(group, []).append(trained / _cost(config))
    if not samples:
        return None
    gpu, cpu = spec.resources.gpu, spec.resources.cpu
    reserved = (1.0 if gpu == "auto" else float(gpu)) or cpu
    found = []
    for cell, config in enumerate(cells):
        if cell in samples:
            seconds = fmean(samples[cell])
        else:
            seconds = fmean(samples.get(config.kind) or samples[""]) * _cost(config)
        found.append(seconds * reserved / 3600)
    return found


def _epochs(config: Config, outcome: str | None) -> int:
    most = config.epochs or 1
    if isinstance(config, RunConfig) and outcome == "collapsed":
        return min(most, config.stop_when_collapsed_after or most)
    return most


def _cost(config: Config) -> float:
    return (config.epochs or 1) * config.epoch_cost
