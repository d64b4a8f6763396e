"""The tables of a sweep, in the order in which a report shows them."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

import pandas as pd

from orchestration.render.table import Table
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData

_NAMES = (
    "headline",
    "search",
    "confirmed",
    "dependency_gap",
    "norm_gaps",
    "tuned_gap",
    "basin",
    "energy",
    "best_of_seeds",
    "choice",
    "decisions",
    "norm_differences",
    "mean_ranks",
    "differences",
)
"""Modules of this folder, each with its table as ``TABLE``."""

TABLES: dict[str, TableDefinition] = {
    name: import_module(f"orchestration.tables.{name}").TABLE for name in _NAMES
}


def tables_of(data: ReportData) -> Iterator[tuple[str, TableDefinition, pd.DataFrame]]:
    """Give the tables that a sweep has, each with its numbers."""
    for name, table in TABLES.items():
        frame = table.of(data)
        if frame is not None:
            yield name, table, frame


def terminal_tables(data: ReportData) -> Iterator[tuple[str, Table]]:
    """Give the tables that have a place in a terminal, each with its title."""
    placed = [(table.terminal, table) for table in TABLES.values() if table.terminal]
    for place, definition in sorted(placed, key=lambda pair: not pair[0].is_first):
        frame = definition.of(data)
        if frame is None:
            continue
        rows = place.rows(frame) if place.rows else frame
        table = definition.table(rows, data.metric, narrow=True)
        if place.is_first or (table.rows and definition.is_worth_showing(frame)):
            yield place.title(data.metric) if callable(place.title) else place.title, table
