"""The summaries of sweeps, from whatever answers soonest.

A tracking server with the pages of sweeps keeps them in memory, so it is asked first. Then they are
read from the database, if one is named, and otherwise over MLflow's REST API.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from orchestration.reading.summaries import (
    SUMMARIES,
    SweepSummary,
    all_sweeps,
    named_sweep,
    one_sweep,
)
from services.settings import Settings
from services.tracking import page_text

if TYPE_CHECKING:
    from orchestration.reading.records import Source


def recorded_sweeps(uri: str) -> list[SweepSummary]:
    """Every sweep of a tracking server or database file, the last started first."""
    kept = _kept_by_server(uri)
    return all_sweeps(_source(uri)) if kept is None else kept


def find_sweep(uri: str, name: str) -> SweepSummary:
    """The sweep of this name."""
    kept = _kept_by_server(uri)
    return one_sweep(_source(uri), name) if kept is None else named_sweep(kept, name)


def _kept_by_server(uri: str) -> list[SweepSummary] | None:
    text = page_text(uri, "sweeps?format=json")
    try:
        return None if text is None else SUMMARIES.validate_json(text)
    except ValidationError:  # the server has another version, with other fields
        return None


def _source(uri: str) -> Source:
    from orchestration.reading.open import open_source  # imports pandas

    return open_source(uri, Settings.from_environment().database_url)
