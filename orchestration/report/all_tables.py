"""The tables of a sweep that people read: each with the frame that it shows."""

from __future__ import annotations

import pandas as pd

from orchestration.report.data import Answers
from orchestration.report.tables.headline import headline
from orchestration.report.tables.layouts import table_of
from orchestration.report.tables.table import Table
from orchestration.results.effects.norm_effects import settings_of

__all__ = ["TABLES", "tables_of"]

TABLES = (
    "headline",
    "best_of_seeds",
    "dependency_gap",
    "norm_gaps",
    "tuned_gap",
    "basin",
    "energy",
    "norm_differences",
    "differences",
    "mean_ranks",
    "decisions",
)
"""All that there may be, by name."""


def tables_of(answers: Answers) -> dict[str, tuple[pd.DataFrame, Table]]:
    """Give the tables that a sweep has, by name, in the order of TABLES."""
    own, metric = answers.train is not None, answers.metric
    frames = (
        _with_standard_norm(answers),
        answers.best,
        answers.gap,
        answers.norm_gaps,
        answers.tuned_gap,
        answers.basin,
        answers.energy,
        None if own else answers.differences,
        answers.differences if own else None,
        answers.ranks,
        answers.decisions,
    )
    return {
        name: (frame, headline(answers.best) if name == "headline" else table_of(frame, metric))
        for name, frame in zip(TABLES, frames, strict=True)
        if frame is not None
    }


def _with_standard_norm(answers: Answers) -> pd.DataFrame | None:
    if answers.gap is None:
        return None
    settings = settings_of(answers.best, answers.axes)
    norms = [one.standard if one.standard in one.cells else None for one in settings]
    frame = answers.gap.copy()
    frame.insert(list(frame).index("standard") + 1, "standard_norm", norms)
    return frame
