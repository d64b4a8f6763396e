"""What a sweep's page says of its finished trials, which changes when one more finishes."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from orchestration.errors import SpecError
from orchestration.reading.records import SPIKE_RATE
from orchestration.results.columns import plain
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from orchestration.tables import decisions, differences, norm_differences
from orchestration.tables.definition import TableDefinition
from snn_norm.norms.table import label_of

_MOST_SETTINGS = 100
"""With more settings, a page tests no differences, since each test takes a moment."""


@dataclass(frozen=True)
class Finished:
    """The results of a sweep's finished trials.

    Args:
        snapshot: those trials.
        best: best of seeds.
        by_seed: a row a trial that counts.
        decisions, differences: as of ``Results``. The first is None where the spec declares none,
            the second where it does, where it names no baseline for training code of the user's
            own, or where there are more settings than anybody reads.
        rates: spike rates by cell (index) and layer.
    """

    snapshot: Results
    best: pd.DataFrame
    by_seed: pd.DataFrame
    decisions: pd.DataFrame | None
    differences: pd.DataFrame | None
    rates: pd.DataFrame

    @property
    def has_verdicts(self) -> bool:
        """Whether anything is compared."""
        cells = self.snapshot.cells
        return cells.train is None or bool(cells.baseline)

    @property
    def verdict_table(self) -> TableDefinition:
        """The definition of the table of ``verdicts``."""
        if self.decisions is not None:
            return decisions.TABLE
        ours = self.snapshot.cells.train is None
        return norm_differences.TABLE if ours else differences.TABLE

    def verdicts(self) -> pd.DataFrame:
        """Decisions if any are declared, else all differences, however many."""
        if self.decisions is not None:
            return self.decisions
        return _differences(self.snapshot) if self.differences is None else self.differences

    @cached_property
    def certain_seeds(self) -> Sequence[int]:
        """The seeds that the spec certainly wants; without a spec, those of the trials."""
        # A large spec takes seconds to read, and the page is drawn anew at every epoch.
        text = self.snapshot.records.spec
        with suppress(SpecError):  # of another version
            if text is not None:
                return SweepSpec.from_json(text).certain_seeds()
        return sorted(int(seed) for seed in self.by_seed["seed"].unique())

    def decided(self) -> dict[int, str]:
        """Verdicts of declared comparisons in words, by their first cell."""
        if self.decisions is None:
            return {}
        axes, is_ours = self.snapshot.cells.axes, self.snapshot.cells.train is None
        cells = {
            tuple(map(plain, row)): number
            for number, row in enumerate(self.best[axes].itertuples(index=False))
        }
        words: dict[int, list[str]] = {}
        for row in self.decisions.to_dict("records"):
            number = cells[tuple(plain(row[axis]) for axis in axes)]
            joint = {"equal": "as", "undecided": "against"}.get(row["verdict"], "than")
            against = label_of(row["against"]) if is_ours else row["against"]
            words.setdefault(number, []).append(f"{row['verdict']} {joint} {against}")
        return {number: "; ".join(found) for number, found in words.items()}


def finished_of(snapshot: Results) -> Finished:
    """The results of a snapshot."""
    cells, best = snapshot.cells, snapshot.best_of_seeds()
    others = [axis for axis in cells.axes if axis != cells.series]
    few = len(best[others].drop_duplicates()) <= _MOST_SETTINGS
    finished = Finished(
        snapshot,
        best,
        snapshot.by_seed(numbered=True),
        snapshot.decisions() if snapshot.has_decisions else None,
        None,
        _rates(snapshot),
    )
    if finished.decisions is not None or not finished.has_verdicts or not few:
        return finished
    return replace(finished, differences=_differences(snapshot))


def _differences(snapshot: Results) -> pd.DataFrame:
    ours = snapshot.cells.train is None
    return snapshot.norm_differences() if ours else snapshot.differences()


def _rates(snapshot: Results) -> pd.DataFrame:
    """The spike rates of our own networks; a user's metrics may have any name."""
    metrics = snapshot.records.metrics
    ours = snapshot.cells.train is None
    layers = [name for name in map(str, metrics) if ours and name.startswith(SPIKE_RATE)]
    rates = metrics[layers].groupby(snapshot.cells.of_trial).mean()
    rates.columns = [name.removeprefix(SPIKE_RATE) for name in layers]
    return rates.dropna(how="all")
