"""The results of a sweep's finished trials; they change only when another trial finishes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from orchestration.errors import SpecError
from orchestration.model.metric import SPIKE_RATE
from orchestration.model.sweep_kind import NetworkSweep
from orchestration.page.search_pictures import ShownPicture, search_pictures
from orchestration.results.columns import plain
from orchestration.results.results import Results
from orchestration.sweep.recorded_spec import read_spec
from orchestration.tables import decisions, differences, norm_differences
from orchestration.tables.definition import TableDefinition

_MOST_SETTINGS = 100
"""With more settings, a page tests no differences, since each test takes time."""

_PREPOSITIONS = {"equal": "as", "undecided": "against", "different": "from"}
"""The word between a verdict and what it is against; of better and worse it is than."""


@dataclass(frozen=True)
class Finished:
    """The results of a sweep's finished trials.

    Args:
        snapshot: the finished trials.
        best: the table of best of seeds.
        by_seed: one row for each trial that counts.
        decisions: the table of ``Results.decisions``; None if the spec declares no comparisons.
        differences: the table of ``Results.differences`` or ``Results.norm_differences``. None if
            the spec declares comparisons, if a spec with the user's own training code names no
            baseline, or if there are too many settings to test.
        search: the table of ``Results.searched``; None if the sweep has no search.
        rates: spike rates, one row for each cell (index) and one column for each layer.
    """

    snapshot: Results
    best: pd.DataFrame
    by_seed: pd.DataFrame
    decisions: pd.DataFrame | None
    differences: pd.DataFrame | None
    search: pd.DataFrame | None
    rates: pd.DataFrame

    @cached_property
    def search_pictures(self) -> list[ShownPicture]:
        """The figures of the search, drawn once for these trials; empty without a search."""
        return [] if self.search is None else search_pictures(self.snapshot)

    @property
    def has_verdicts(self) -> bool:
        """Whether the sweep compares anything."""
        return self.decisions is not None or self.snapshot.cells.kind.has_tests

    @property
    def verdict_table(self) -> TableDefinition:
        """The definition of the table that ``verdicts`` returns."""
        return self.tests if self.decisions is None else decisions.TABLE

    @property
    def tests(self) -> TableDefinition:
        """The definition of the table of all paired tests."""
        kind = self.snapshot.cells.kind
        possible = (norm_differences.TABLE, differences.TABLE)
        return next(table for table in possible if isinstance(kind, table.kind))

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
    finished = Finished(
        snapshot,
        best,
        snapshot.by_seed(numbered=True),
        snapshot.decisions() if snapshot.has_decisions else None,
        None,
        snapshot.searched() if snapshot.has_search else None,
        _rates(snapshot),
    )
    if finished.decisions is not None or not cells.kind.has_tests or not has_few_settings:
        return finished
    return replace(finished, differences=_differences(snapshot))


def _differences(snapshot: Results) -> pd.DataFrame:
    is_of_networks = isinstance(snapshot.cells.kind, NetworkSweep)
    return snapshot.norm_differences() if is_of_networks else snapshot.differences()


def _rates(snapshot: Results) -> pd.DataFrame:
    """The spike rates of this package's networks; a user's metrics may have any name."""
    metrics = snapshot.records.metrics
    layers = snapshot.cells.kind.layer_metrics(map(str, metrics), SPIKE_RATE)
    rates = metrics[layers].groupby(snapshot.cells.of_trial).mean()
    rates.columns = [name.removeprefix(SPIKE_RATE) for name in layers]
    return rates.dropna(how="all")
