"""What a page shows of finished trials alone: it changes only when another trial finishes.

``ReportData.once`` calls each of these functions only once.
"""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.metric import SPIKE_RATE
from orchestration.model.sweep_kind import SweepKind
from orchestration.results.columns import plain
from orchestration.sweep.recorded_spec import readable_spec
from orchestration.tables import decisions, differences, norm_differences
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData

_MOST_SETTINGS = 100
"""With more settings, a page tests no differences, since each test takes time."""

_PREPOSITIONS = {"equal": "as", "undecided": "against", "different": "from"}
"""The word between a verdict and the other cell; after better and worse it is than."""


def trials_by_seed(data: ReportData) -> pd.DataFrame:
    """One row for each trial that counts."""
    return data.sweep.by_seed(numbered=True)


def tests_of(kind: SweepKind) -> TableDefinition:
    """The table of all paired tests."""
    return norm_differences.TABLE if norm_differences.TABLE.is_of(kind) else differences.TABLE


def has_verdicts(data: ReportData) -> bool:
    """Whether the sweep compares anything."""
    return data.sweep.has_decisions or data.kind.has_tests


def verdicts(data: ReportData) -> tuple[TableDefinition, pd.DataFrame]:
    """The decisions if the spec declares comparisons, otherwise all differences.

    Raises:
        InputError: the sweep compares nothing.
    """
    for table in (decisions.TABLE, tests_of(data.kind)):
        frame = table.of(data)
        if frame is not None:
            return table, frame
    raise InputError("the sweep compares nothing: its spec names no baseline")


def has_few_settings(data: ReportData) -> bool:
    """Whether all differences are tested on a page."""
    others = [axis for axis in data.axes if axis != data.series]
    return len(data.best[others].drop_duplicates()) <= _MOST_SETTINGS


def certain_seeds(data: ReportData) -> Sequence[int]:
    """The seeds that the spec certainly wants; without a readable spec, those of the trials."""
    spec = readable_spec(data.sweep.records.spec)
    if spec is not None:
        return spec.certain_seeds()
    return sorted(int(seed) for seed in data.once(trials_by_seed)["seed"].unique())


def decided(data: ReportData) -> dict[int, str]:
    """The verdicts of declared comparisons in words, by the number of the compared cell."""
    table = decisions.TABLE.of(data)
    if table is None:
        return {}
    cells = {
        tuple(map(plain, row)): number
        for number, row in enumerate(data.best[data.axes].itertuples(index=False))
    }
    words: dict[int, list[str]] = {}
    for row in table.to_dict("records"):
        number = cells[tuple(plain(row[axis]) for axis in data.axes)]
        preposition = _PREPOSITIONS.get(row["verdict"], "than")
        against = data.kind.value_name("against", row["against"])
        words.setdefault(number, []).append(f"{row['verdict']} {preposition} {against}")
    return {number: "; ".join(of_cell) for number, of_cell in words.items()}


def spike_rates(data: ReportData) -> pd.DataFrame:
    """Spike rates, one row for each cell (index) and one column for each layer.

    Those of the user's own training code are left out: its metrics may have any name.
    """
    metrics = data.sweep.records.metrics
    layers = data.kind.layer_metrics(map(str, metrics), SPIKE_RATE)
    rates = metrics[layers].groupby(data.sweep.cells.of_trial).mean()
    rates.columns = [name.removeprefix(SPIKE_RATE) for name in layers]
    return rates.dropna(how="all")


def search_pictures(data: ReportData) -> list[tuple[str, str, str]]:
    """The title, caption and address of each figure of the search that has numbers.

    The address has the image itself, as the page's policy allows no inline style.
    """
    if not data.sweep.has_search:
        return []
    # Imported here because matplotlib takes a second, and few sweeps have a search.
    from orchestration.render.figures import save, style
    from orchestration.report.figures import search

    shown = []
    with style(), tempfile.TemporaryDirectory() as folder:
        for draw in (search.best_against_budget, search.importance, search.parallel_coordinates):
            if picture := draw(data):
                save(picture, Path(folder), ["svg"])
                svg = (Path(folder) / f"{picture.name}.svg").read_bytes()
                address = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
                shown.append((picture.title, picture.caption, address))
    return shown
