"""The hours that a trial of each cell takes, estimated from recorded epochs. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from orchestration.model.config import Config
from orchestration.model.durations import RecordedTimes, possible_seconds
from orchestration.sweep.spec import SweepSpec


def hours_unit(spec: SweepSpec) -> str:
    """The unit of a sweep's hours: ``GPU``, or ``core`` if its trials have no GPU."""
    return "GPU" if spec.resources.gpu else "core"


def trial_hours(
    spec: SweepSpec, epochs: Iterable[tuple[int, float, str | None]]
) -> list[float] | None:
    """Estimate the GPU hours of a trial of each cell, or its core hours if it has no GPU.

    ``RecordedTimes`` describes the estimate.

    Args:
        epochs: one epoch of each recorded trial: the number of its cell, the epoch's seconds, and
            the trial's outcome, since a collapsed trial may have stopped early.

    Returns:
        The hours by cell. None if nothing is recorded, or if the trials have no limit of epochs.
    """
    cells = spec.cells()
    if any(cell.epochs is None for cell in cells):
        return None
    times = RecordedTimes()
    for number, epoch_seconds, outcome in epochs:
        if (seconds := possible_seconds(epoch_seconds)) is not None:
            cell = cells[number]
            times.add(number, cell.kind, seconds * _epochs(cell, outcome), _cost(cell))
    hours = []
    for number, cell in enumerate(cells):
        estimate = times.estimate(number, cell.kind, _cost(cell))
        if estimate is None:
            return None
        hours.append(estimate * spec.resources.reserved / 3600)
    return hours


def _epochs(config: Config, outcome: str | None) -> int:
    most = config.epochs or 1
    if outcome == "collapsed":
        return min(most, config.stop_when_collapsed_after or most)
    return most


def _cost(config: Config) -> float:
    return (config.epochs or 1) * config.epoch_cost
