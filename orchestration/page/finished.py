"""The results of a sweep's finished trials; they change only when another trial finishes."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from orchestration.errors import SpecError
from orchestration.model.metric import SPIKE_RATE
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.results.columns import plain
from orchestration.results.results import Results
from orchestration.sweep.recorded_spec import read_spec
from orchestration.tables import decisions, differences, norm_differences
from orchestration.tables.definition import TableDefinition

_MOST_SETTINGS = 100
"""With more settings, a page tests no differences, since each test takes time."""

_PREPOSITIONS = {"equal": "as", "undecided": "against", "different": "from"}
"""The word between a verdict and the other cell; after better and worse it is than."""


@dataclass(frozen=True)
class Finished:
    """The results of a sweep's finished trials."""

    snapshot: Results
    best: pd.DataFrame
    """The table of best of seeds."""
    by_seed: pd.DataFrame
    """One row for each trial that counts."""
    decisions: pd.DataFrame | None
    """The table of ``Results.decisions``; None if the spec declares no comparisons."""
    differences: pd.DataFrame | None
    """The table of ``Results.differences`` or ``Results.norm_differences``. None if the spec
    declares comparisons, if a spec with the user's own training code names no baseline, or if
    there are too many settings to test."""
    search: pd.DataFrame | None
    """The table of ``Results.searched``; None if the sweep has no search."""
    rates: pd.DataFrame
    """Spike rates, one row for each cell (index) and one column for each layer."""

    @cached_property
    def search_pictures(self) -> list[tuple[str, str, str]]:
        """The title, caption and address of each figure of the search that has numbers.

        The address has the image itself, as the page's policy allows no inline style.
        """
        if self.search is None:
            return []
        # Imported here because matplotlib takes a second, and few sweeps have a search.
        from orchestration.render.figures import save, style
        from orchestration.report.figures import search
        from orchestration.tables.report_data import ReportData

        data, shown = ReportData(self.snapshot.name, self.snapshot), []
        with style(), tempfile.TemporaryDirectory() as folder:
            for draw in (
                search.best_against_budget,
                search.importance,
                search.parallel_coordinates,
            ):
                if picture := draw(data):
                    save(picture, Path(folder), ["svg"])
                    svg = (Path(folder) / f"{picture.name}.svg").read_bytes()
                    encoded = base64.b64encode(svg).decode()
                    address = f"data:image/svg+xml;base64,{encoded}"
                    shown.append((picture.title, picture.caption, address))
        return shown

    @property
    def has_verdicts(self) -> bool:
        """Whether the sweep compares anything."""
        return self.decisions is not None or self.snapshot.cells.kind.has_tests

    @property
    def tests(self) -> TableDefinition:
        """The definition of the table of all paired tests."""
        return norm_differences.TABLE if _is_of_networks(self.snapshot) else differences.TABLE

    @property
    def verdict_table(self) -> TableDefinition:
        """The definition of the table that ``verdicts`` returns."""
        return self.tests if self.decisions is None else decisions.TABLE

    def verdicts(self) -> pd.DataFrame:
        """The decisions if the spec declares comparisons, otherwise all differences."""
        if self.decisions is not None:
            return self.decisions
        return _differences(self.snapshot) if self.differences is None else self.differences

    @cached_property
    def certain_seeds(self) -> Sequence[int]:
        """The seeds that the spec certainly wants; without a readable spec, those of the trials."""
        text = self.snapshot.records.spec
        with suppress(SpecError):  # the spec is from another version
            if text is not None:
                return read_spec(text).certain_seeds()
        return sorted(int(seed) for seed in self.by_seed["seed"].unique())

    def decided(self) -> dict[int, str]:
        """The verdicts of declared comparisons in words, by the number of the compared cell."""
        if self.decisions is None:
            return {}
        axes, kind = self.snapshot.cells.axes, self.snapshot.cells.kind
        cells = {
            tuple(map(plain, row)): number
            for number, row in enumerate(self.best[axes].itertuples(index=False))
        }
        words: dict[int, list[str]] = {}
        for row in self.decisions.to_dict("records"):
            number = cells[tuple(plain(row[axis]) for axis in axes)]
            preposition = _PREPOSITIONS.get(row["verdict"], "than")
            against = kind.value_name("against", row["against"])
            words.setdefault(number, []).append(f"{row['verdict']} {preposition} {against}")
        return {number: "; ".join(verdicts) for number, verdicts in words.items()}


def finished_of(snapshot: Results) -> Finished:
    """Compute the results of a snapshot."""
    cells, best = snapshot.cells, snapshot.best_of_seeds()
    others = [axis for axis in cells.axes if axis != cells.series]
    has_few_settings = len(best[others].drop_duplicates()) <= _MOST_SETTINGS
    is_tested = not snapshot.has_decisions and cells.kind.has_tests and has_few_settings
    return Finished(
        snapshot,
        best,
        by_seed=snapshot.by_seed(numbered=True),
        decisions=snapshot.decisions() if snapshot.has_decisions else None,
        differences=_differences(snapshot) if is_tested else None,
        search=snapshot.searched() if snapshot.has_search else None,
        rates=_rates(snapshot),
    )


def _is_of_networks(snapshot: Results) -> bool:
    return isinstance(snapshot.cells.kind, NetworkSweep)


def _differences(snapshot: Results) -> pd.DataFrame:
    if _is_of_networks(snapshot):
        return snapshot.norm_differences()
    return snapshot.differences()


def _rates(snapshot: Results) -> pd.DataFrame:
    """The spike rates of this package's networks; a user's metrics may have any name."""
    metrics = snapshot.records.metrics
    layers = snapshot.cells.kind.layer_metrics(map(str, metrics), SPIKE_RATE)
    rates = metrics[layers].groupby(snapshot.cells.of_trial).mean()
    rates.columns = [name.removeprefix(SPIKE_RATE) for name in layers]
    return rates.dropna(how="all")
