"""Which recorded runs count: the one rule, for plans, tables, exports and decisions."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TypeVar

from orchestration.model.run import TrialRun

_Trial = TypeVar("_Trial")


def runs_that_count(
    runs: Iterable[tuple[_Trial, str, int | None, int | None]],
) -> dict[_Trial, str]:
    """Return the id of the run that counts for each trial: the one that finished first.

    A trial has several finished runs if two drivers trained it at the same time, or if finished
    runs were copied by hand. The first to finish was in the tables before there was another one,
    so a number that has been read, exported or decided on never changes. Taking the run that
    started first would be wrong: it may finish last, and would then replace a published number.
    Runs that finished in the same millisecond are ordered by their start, then by their ids.

    Args:
        runs: the trial, id, start and end of each run that has a result. Times are milliseconds
            since 1970; a run without a time comes after those that have one.
    """

    def order(run: tuple[_Trial, str, int | None, int | None]) -> tuple[float, float, str]:
        _, run_id, started, ended = run
        return (
            math.inf if ended is None else ended,
            math.inf if started is None else started,
            run_id,
        )

    counted: dict[_Trial, str] = {}
    for run in sorted(runs, key=order):
        counted.setdefault(run[0], run[1])
    return counted


def counting_runs(runs: Iterable[TrialRun]) -> dict[str, TrialRun]:
    """Return the run that counts for each trial that has a result, by the trial's key."""
    finished = {run.run_id: run for run in runs if run.finished}
    counted = runs_that_count(
        (run.trial_key, run.run_id, run.started, run.ended) for run in finished.values()
    )
    return {key: finished[run_id] for key, run_id in counted.items()}
