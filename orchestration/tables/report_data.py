"""The data of a sweep's tables and figures: its trials, curves and cells, read once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cached_property
from threading import RLock
from typing import Any, TypeVar

import pandas as pd

from orchestration.model.durations import possible_seconds
from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import SweepKind
from orchestration.reading.provenance import Provenance, provenance_of
from orchestration.reading.records import ALL_METRICS
from orchestration.render.series_style import NETWORKS, SeriesStyle, style_of
from orchestration.render.table import as_text
from orchestration.results.columns import shortfall
from orchestration.results.results import Results

MOST_DIAGNOSED = 28
"""The most cells whose diagnostics are read and drawn."""

_DRAWN = ("rate.", "support.", "gradient.")

_T = TypeVar("_T")


class ReportData:
    """The trials of a sweep that its spec wants, and tables computed from them, each once.

    Args:
        sweep: a snapshot of its results.
        tracking_uri: the server that shows its runs, if there is one.
    """

    def __init__(self, name: str, sweep: Results, tracking_uri: str | None = None) -> None:
        self.name, self.sweep = name, sweep
        self.axes: list[str] = sweep.cells.axes
        self.metric: Metric = sweep.metric
        self.kind: SweepKind = sweep.cells.kind
        self.series: str = sweep.cells.series
        self._tracking_uri = tracking_uri
        self._computed: dict[Callable[[ReportData], Any], Any] = {}
        self._computing = RLock()

    def once(self, compute: Callable[[ReportData], _T]) -> _T:
        """The result of this function, which is called only once, also from several threads."""
        with self._computing:
            if compute not in self._computed:
                self._computed[compute] = compute(self)
            result: _T = self._computed[compute]
            return result

    @cached_property
    def best(self) -> pd.DataFrame:
        """Best of seeds, one row per cell; the index numbers the cells."""
        return self.sweep.best_of_seeds()

    @cached_property
    def lacks(self) -> list[str]:
        """What each cell lacks, in words; empty if it lacks nothing."""
        return [shortfall(cell) for cell in self.best.to_dict("records")]

    @cached_property
    def last(self) -> pd.DataFrame:
        """Best of seeds of the last epoch."""
        return self.sweep.last_epoch()

    @cached_property
    def expected(self) -> pd.DataFrame:
        """The mean best of n seeds, by ``cell`` and n."""
        return self.sweep.expected_best(numbered=True)

    @cached_property
    def evidence(self) -> pd.DataFrame | None:
        """The growing evidence of declared comparisons; None if the spec declares none."""
        return self.sweep.evidence(numbered=True) if self.sweep.has_decisions else None

    @cached_property
    def trials(self) -> pd.DataFrame:
        """Finished trials with the number of their ``cell``, in order of cell and seed."""
        trials = self.sweep.trials(numbered=True)
        trials = trials[trials["cell"].notna()].astype({"cell": "int64"})
        return trials.sort_values("cell", kind="stable", ignore_index=True)

    @cached_property
    def curves(self) -> pd.DataFrame:
        """One row per trial and epoch, with the number of its ``cell``."""
        curves = self.sweep.curves(self.trials, numbered=True)
        curves["epoch_seconds"] = curves["epoch_seconds"].map(possible_seconds).astype("float64")
        return curves

    @cached_property
    def diagnosed(self) -> list[int]:
        """The cells that have diagnostics."""
        has_some = self.trials["run_id"].isin(self.sweep.diagnosed)
        return [int(cell) for cell in self.trials.loc[has_some, "cell"].unique()]

    @cached_property
    def diagnostics(self) -> pd.DataFrame:
        """One row per trial, epoch and layer, of the first cells that have any."""
        cells = self.best.loc[self.diagnosed]
        setting = [axis for axis in self.axes if axis != self.series]
        first: list[int] = []
        # Settings are kept whole, since their norms are compared side by side.
        for _, of_setting in cells.groupby(setting, dropna=False, sort=False):
            if first and len(first) + len(of_setting) > MOST_DIAGNOSED:
                break
            first += of_setting.index.tolist()
        drawn = self.trials["cell"].isin(first[:MOST_DIAGNOSED])
        return self.sweep.diagnostics(self.trials[drawn], numbered=True)

    @cached_property
    def provenance(self) -> Provenance:
        """The origin of the data: server, runs, machines and versions."""
        return provenance_of(self.sweep.records, self._tracking_uri, self.trials["run_id"])

    @property
    def norms(self) -> list[str]:
        """All norms of the sweep in order, or the other values that it compares."""
        return list(dict.fromkeys(map(as_text, self.best[self.series])))

    def norm(self, cell: int) -> str:
        """A cell's norm, or the other value that is compared."""
        return as_text(self.best[self.series].iloc[cell])

    def display_name(self, norm: str) -> str:
        """The name in a legend of one of ``norms``."""
        return self.kind.series_name(self.series, norm)

    def style(self, norm: str) -> SeriesStyle:
        """The style in figures of one of ``norms``."""
        return style_of(norm, self.norms, self.kind.styles)

    def by_setting(self, cells: Iterable[int]) -> dict[str, list[int]]:
        """Cells by their ``setting``."""
        settings: dict[str, list[int]] = {}
        for cell in cells:
            settings.setdefault(self.setting(cell), []).append(cell)
        return settings

    def setting(self, cell: int, but: str | None = None) -> str:
        """A cell in words, without its norm or the axis that is given instead."""
        row, unnamed = self.best.iloc[cell], self.kind.unnamed_axes
        words = {
            axis: self.kind.value_name(axis, as_text(row[axis]))
            for axis in self.axes
            if axis != (but or self.series) and (axis in unnamed or not pd.isna(row[axis]))
        }
        return ", ".join(
            NETWORKS.get(text, text) if axis in unnamed else f"{axis} {text}"
            for axis, text in words.items()
        )

    def label(self, cell: int) -> str:
        """A cell in words."""
        parts = [self.setting(cell), self.display_name(self.norm(cell))]
        return ", ".join(filter(None, parts))

    def best_run_url(self, cell: int) -> str:
        """The address of the run with a cell's best value; empty if there is none."""
        seed = self.best["best_seed"].iloc[cell]
        if pd.isna(seed):
            return ""
        of_cell = self.trials[self.trials["cell"] == cell]
        return self.provenance.run_url(of_cell.loc[of_cell["seed"] == seed, "run_id"].iloc[0])


def read_report_data(results: Results, tracking_uri: str | None = None) -> ReportData:
    """Read what a sweep's tables and figures need; ``tracking_uri`` is that of ``ReportData``."""
    snapshot = results.snapshot([*ALL_METRICS, *_DRAWN])
    return ReportData(results.name, snapshot, tracking_uri)
