"""The details of one trial, from the records of its run. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from orchestration.model.status import TrialStatus
from orchestration.page.drawing.state import Cell
from orchestration.page.drawing.text import last_lines
from orchestration.reading.records import Records
from orchestration.record.names import REASON_TAG


@dataclass(frozen=True)
class TrialDetails:
    """What the page of a trial shows.

    Args:
        cell, seed, status: of the trial.
        params: its parameters, as text.
        points: its metrics by ``metric`` and ``epoch``.
        error: the last lines of the error that ended it; empty without one.
    """

    cell: Cell
    seed: int
    status: TrialStatus
    params: dict[str, str]
    points: pd.DataFrame
    error: str


def trial_details(
    cell: Cell, seed: int, status: TrialStatus, records: Records, points: pd.DataFrame
) -> TrialDetails:
    """Collect the details of a trial.

    Args:
        cell, seed, status, points: as of TrialDetails.
        records: those that have the run of the trial.
    """
    run = status.run_id
    reasons = [value for run_id, _, value in records.tag_rows((REASON_TAG,)) if run_id == run]
    params = {name: value for _, name, value in sorted(records.param_rows([run]))}
    return TrialDetails(
        cell, seed, status, params, points, last_lines("".join(reasons), lines=60, most=8000)
    )
