"""All that a report is made of, read once: a sweep's trials, curves and cells, put together."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from orchestration.reading.provenance import Provenance, provenance_of
from orchestration.reading.records import ALL_METRICS
from orchestration.report.headline import NETWORKS
from orchestration.report.layouts import lacks_of
from orchestration.report.table import as_text
from orchestration.results.norm_effects import dependency_gap, norm_gaps
from orchestration.results.results import Results
from orchestration.results.snapshot import LAST_TEST_ACCURACY
from snn_norm.norms.table import label_of

__all__ = ["MOST_DIAGNOSED", "Answers", "read_answers"]

MOST_DIAGNOSED = 28
"""Cells whose diagnostics a report reads and draws: a few of the many numbers that they are."""

_DRAWN = ("rate.", "support.", "gradient.")


@dataclass(frozen=True)
class Answers:
    """A sweep's answers, of the trials that its spec wants.

    Args:
        name: the sweep's.
        axes: what tells cells apart.
        best: best of seeds, a row a cell; the index numbers the cells.
        lacks: what each cell lacks, in words.
        gap: the dependency gap, a row a setting.
        norm_gaps: the same, a row each norm.
        tuned_gap: each norm's gap as built and tuned; None where there is nothing to tune.
        basin: the share of settings near the best one; None likewise.
        last: as ``best``, of the last epoch.
        expected: what a best of n seeds is worth, by ``cell`` and n.
        differences: between norms, paired by seed.
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
    best: pd.DataFrame
    lacks: list[str]
    gap: pd.DataFrame
    norm_gaps: pd.DataFrame
    tuned_gap: pd.DataFrame | None
    basin: pd.DataFrame | None
    last: pd.DataFrame
    expected: pd.DataFrame
    differences: pd.DataFrame
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
        """All norms of the sweep, in order."""
        return list(dict.fromkeys(map(as_text, self.best["norm"])))

    def norm(self, cell: int) -> str:
        """A cell's norm."""
        return as_text(self.best["norm"].iloc[cell])

    def setting(self, cell: int) -> str:
        """A cell's network and further axes, in words: everything but its norm."""
        row = self.best.iloc[cell]
        network = NETWORKS.get(row["architecture"], as_text(row["architecture"]))
        others = [axis for axis in self.axes if axis not in ("architecture", "norm")]
        given = [f"{axis} {as_text(row[axis])}" for axis in others if not pd.isna(row[axis])]
        return ", ".join([network, *given])

    def label(self, cell: int) -> str:
        """A cell in words."""
        return f"{self.setting(cell)}, {label_of(self.norm(cell))}"


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
    diagnosed = trials.loc[trials["run_id"].isin(snapshot.diagnosed), "cell"].unique()
    drawn = trials[trials["cell"].isin(diagnosed[:MOST_DIAGNOSED])]
    tunes, ranks = snapshot.has_settings, snapshot.mean_ranks()
    return Answers(
        name=results.name,
        axes=axes,
        best=best,
        lacks=lacks_of(best),
        gap=dependency_gap(best, axes),
        norm_gaps=norm_gaps(best, axes),
        tuned_gap=snapshot.dependency_gap(tuned=True, by_norm=True) if tunes else None,
        basin=snapshot.basin() if tunes else None,
        last=snapshot.best_of_seeds(LAST_TEST_ACCURACY),
        expected=snapshot.expected_best(),
        differences=snapshot.norm_differences(),
        ranks=ranks if len(ranks) else None,
        decisions=snapshot.decisions() if snapshot.has_decisions else None,
        evidence=snapshot.evidence() if snapshot.has_decisions else None,
        trials=trials,
        curves=snapshot.curves(trials),
        diagnostics=snapshot.diagnostics(drawn),
        cells_diagnosed=len(diagnosed),
        provenance=provenance_of(snapshot.records, tracking_uri, trials["run_id"]),
    )
