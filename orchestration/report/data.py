"""All that a report is made of, read once: a sweep's trials, curves and cells, put together."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from orchestration.model.metric import Metric
from orchestration.reading.provenance import Provenance, provenance_of
from orchestration.reading.records import ALL_METRICS
from orchestration.report.looks import called
from orchestration.report.tables.headline import NETWORKS
from orchestration.report.tables.layouts import lacks_of
from orchestration.report.tables.table import as_text
from orchestration.results.effects.norm_effects import dependency_gap, norm_gaps
from orchestration.results.results import Results

__all__ = ["MOST_DIAGNOSED", "Answers", "read_answers"]

MOST_DIAGNOSED = 28
"""Cells whose diagnostics are read and drawn at most: a few of the many numbers that they are."""

_DRAWN = ("rate.", "support.", "gradient.")


@dataclass(frozen=True)
class Answers:
    """A sweep's answers, of the trials that its spec wants.

    Args:
        name: the sweep's.
        axes: what tells cells apart.
        metric: what its trials are judged by.
        train: training code of the user's own that it is of; None where it is of ours.
        series: the axis that colours tell apart.
        best: best of seeds, a row a cell; the index numbers the cells.
        lacks: what each cell lacks, in words.
        gap: the dependency gap, a row a setting; None with training code of the user's own.
        norm_gaps: the same, a row each norm.
        tuned_gap: each norm's gap as built and tuned; None where there is nothing to tune.
        basin: the share of settings near the best one; None where no two norms
            have several settings each.
        energy: what networks cost an image, a row a cell; None where nothing is known of it.
        last: as ``best``, of the last epoch.
        expected: what a best of n seeds is worth, by ``cell`` and n.
        differences: between norms, or from the spec's baseline, paired by seed; None without one.
        ranks: mean ranks of many norms in one setting; None where no setting has many.
        decisions: of declared comparisons; None where the sweep declares none.
        evidence: how theirs grew, with the number of the first cell; None likewise.
        trials: finished trials, with the number of their ``cell``, in order of cell and seed.
        curves: a row a (trial, epoch), with the number of its ``cell``, in the same order.
        diagnostics: a row a (trial, epoch, layer), as ``curves``; of the first cells that have any.
        cells_diagnosed: how many have any.
        provenance: where all of it comes from.
    """

    name: str
    axes: list[str]
    metric: Metric
    train: str | None
    series: str
    best: pd.DataFrame
    lacks: list[str]
    gap: pd.DataFrame | None
    norm_gaps: pd.DataFrame | None
    tuned_gap: pd.DataFrame | None
    basin: pd.DataFrame | None
    energy: pd.DataFrame | None
    last: pd.DataFrame
    expected: pd.DataFrame
    differences: pd.DataFrame | None
    ranks: pd.DataFrame | None
    decisions: pd.DataFrame | None
    evidence: pd.DataFrame | None
    trials: pd.DataFrame
    curves: pd.DataFrame
    diagnostics: pd.DataFrame
    cells_diagnosed: int
    provenance: Provenance

    @property
    def norms(self) -> list[str]:
        """All norms of the sweep in order, or what else colours tell apart."""
        return list(dict.fromkeys(map(as_text, self.best[self.series])))

    def norm(self, cell: int) -> str:
        """A cell's norm, or its value of what else colours tell apart."""
        return as_text(self.best[self.series].iloc[cell])

    def name_of(self, norm: str) -> str:
        """What a legend says of one of ``norms``."""
        return called(self.series, norm, is_ours=self.train is None)

    def setting(self, cell: int) -> str:
        """A cell's network and further axes, in words: everything but its norm."""
        row = self.best.iloc[cell]
        named = [] if self.train else ["architecture"]
        words = [NETWORKS.get(row[axis], as_text(row[axis])) for axis in named]
        others = [axis for axis in self.axes if axis not in (*named, self.series)]
        words += [f"{axis} {as_text(row[axis])}" for axis in others if not pd.isna(row[axis])]
        return ", ".join(words)

    def label(self, cell: int) -> str:
        """A cell in words."""
        return ", ".join(filter(None, [self.setting(cell), self.name_of(self.norm(cell))]))


def read_answers(results: Results, tracking_uri: str | None = None) -> Answers:
    """Read a sweep.

    Args:
        results: the sweep's.
        tracking_uri: where people may look at its runs, if anywhere.
    """
    snapshot = results.snapshot([*ALL_METRICS, *_DRAWN])
    trials, best, axes = snapshot.trials(), snapshot.best_of_seeds(), snapshot.cells.axes
    trials = trials[trials["in_spec"]].astype({"cell": "int64"})
    trials = trials.sort_values("cell", kind="stable", ignore_index=True)
    cells, ours = snapshot.cells, snapshot.cells.train is None
    diagnosed = trials.loc[trials["run_id"].isin(snapshot.diagnosed), "cell"].unique()
    setting = [axis for axis in axes if axis != cells.series]
    drawn = trials[trials["cell"].isin(_first_settings(best.loc[diagnosed], setting))]
    differences = ranks = None
    if ours:
        differences, ranks = snapshot.norm_differences(), snapshot.mean_ranks()
    elif cells.baseline:
        differences = snapshot.differences()
    curves = snapshot.curves(trials)
    energy = snapshot.energy(trials, curves) if ours else None
    tunes = snapshot.has_settings
    return Answers(
        name=results.name,
        axes=axes,
        metric=snapshot.metric,
        train=cells.train,
        series=cells.series,
        best=best,
        lacks=lacks_of(best),
        gap=dependency_gap(best, axes) if ours else None,
        norm_gaps=norm_gaps(best, axes) if ours else None,
        tuned_gap=snapshot.dependency_gap(tuned=True, by_norm=True) if tunes else None,
        basin=snapshot.comparable_basins() if tunes else None,
        energy=None if energy is None or energy.empty else energy,
        last=snapshot.best_of_seeds(last=True),
        expected=snapshot.expected_best(),
        differences=differences,
        ranks=None if ranks is None or ranks.empty else ranks,
        decisions=snapshot.decisions() if snapshot.has_decisions else None,
        evidence=snapshot.evidence() if snapshot.has_decisions else None,
        trials=trials,
        curves=curves,
        diagnostics=snapshot.diagnostics(drawn),
        cells_diagnosed=len(diagnosed),
        provenance=provenance_of(snapshot.records, tracking_uri, trials["run_id"]),
    )


def _first_settings(cells: pd.DataFrame, setting: list[str]) -> list[int]:
    """Cells to draw: of the first settings all, whose norms are looked at side by side."""
    first: list[int] = []
    for _, of_it in cells.groupby(setting, dropna=False, sort=False):
        if first and len(first) + len(of_it) > MOST_DIAGNOSED:
            break
        first += of_it.index.tolist()
    return first[:MOST_DIAGNOSED]
