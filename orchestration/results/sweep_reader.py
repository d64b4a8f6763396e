"""Reads a sweep's finished trials, and assigns each to its cell of the grid."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Sequence
from typing import Self

import pandas as pd

from orchestration.errors import InputError, SpecError
from orchestration.model.metric import Metric
from orchestration.reading.open import open_sweep
from orchestration.reading.records import ALL_METRICS, DIAGNOSTICS, Records, SweepSource
from orchestration.results import frames
from orchestration.results.cells import Cells, assign_cells, without_doubles
from orchestration.results.columns import SELECTED_ON
from orchestration.results.effects.tuning import has_settings
from orchestration.results.spec_cells import SpecCells, spec_cells
from orchestration.sweep.recorded_spec import read_spec, spec_fields
from orchestration.sweep.spec import SweepSpec


class SweepReader:
    """Reads the finished trials of one sweep: again for each table, or once in a snapshot."""

    def __init__(
        self, name: str, *, tracking_uri: str | None = None, database_url: str | None = None
    ) -> None:
        self._tracking_uri = tracking_uri
        self._reading: tuple[Records, Cells] | None = None
        self._source: SweepSource
        self.name, self._source = open_sweep(name, tracking_uri, database_url)

    @classmethod
    def of(cls, source: SweepSource, name: str) -> Self:
        """The trials of one sweep from an open source, which is not checked for the sweep yet."""
        results = cls.__new__(cls)
        results.name, results._source = name, source
        results._tracking_uri, results._reading = None, None
        return results

    def snapshot(self, metrics: Collection[str] = ALL_METRICS) -> Self:
        """Read the sweep once, for several tables of the same runs.

        Args:
            metrics: the metrics to read; the tables of the snapshot have no others.

        Returns:
            An object with the same methods, which do not read again.
        """
        taken = copy.copy(self)
        taken._reading = self._read(metrics)
        return taken

    @property
    def records(self) -> Records:
        """The finished runs as MLflow has them, one for each trial."""
        return self._read()[0]

    @property
    def cells(self) -> Cells:
        """The cells of the grid, and the cell of each trial."""
        return self._read()[1]

    @property
    def metric(self) -> Metric:
        """The metric by which the trials are judged."""
        return self.cells.metric

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Return these metrics of these runs by epoch, as they were recorded."""
        return self._source.points(run_ids, metrics)

    @property
    def diagnosed(self) -> list[str]:
        """Ids of the runs that have diagnostics."""
        once = self.snapshot(DIAGNOSTICS)
        known = once.records.metrics[once._diagnostics].notna().any(axis="columns")
        return known.index[known].tolist()

    @property
    def _diagnostics(self) -> list[str]:
        records, cells = self._read(DIAGNOSTICS)
        return cells.kind.layer_metrics(map(str, records.metrics), *DIAGNOSTICS)

    @property
    def has_settings(self) -> bool:
        """Whether the sweep has an axis that can be tuned."""
        return has_settings(self.cells.axes)

    @property
    def has_search(self) -> bool:
        """Whether the sweep searches each cell for its best setting."""
        return self.cells.tried is not None

    @property
    def has_decisions(self) -> bool:
        """Whether the sweep declares comparisons."""
        return bool(spec_fields(self.records.spec).get("compare"))

    def _read(self, metrics: Collection[str] = ALL_METRICS) -> tuple[Records, Cells]:
        """Read the finished trials and assign each to its cell, unless a snapshot has done so."""
        if self._reading is not None:
            return self._reading
        records = without_doubles(self._source.read(self.name, metrics))
        spec = self._spec(records.spec)
        if spec is not None and spec.kind.metric_may_change:
            # Only the spec says which of the user's own metrics counts.
            wanted = spec.kind.metrics_to_read(())
            records = without_doubles(self._source.read(self.name, wanted))
            self._check_recorded(spec.metric, records)
            points = self.points(records.runs.index.tolist(), [spec.metric.name])
            records = frames.with_best(records, spec.metric, points)
        return records, assign_cells(records, spec, self._histories(records, spec))

    def _histories(self, records: Records, spec: SpecCells | None) -> dict[str, list[float]] | None:
        """The values by epoch of the metric by which a search chooses settings, by run id."""
        if spec is None or spec.search is None:
            return None
        run_ids = records.runs.index.tolist()
        return frames.histories(self.points(run_ids, [spec.search.judged_by().name]))

    def _check_recorded(self, metric: Metric, records: Records) -> None:
        recorded = list(map(str, records.metrics))
        if recorded and metric.name not in recorded:
            raise InputError(
                f"no trial of sweep {self.name!r} has recorded {metric.name!r}, which its spec "
                f"names as metric; they have {', '.join(recorded)}: name one of these"
            )

    def _spec(self, text: str | None) -> SpecCells | None:
        try:
            return None if text is None else spec_cells(text)
        except SpecError as error:
            warnings.warn(
                f"the spec recorded with sweep {self.name!r} cannot be read ({error}); its cells "
                "are taken from its trials, so cells without any are not shown",
                stacklevel=4,
            )
            return None


def with_or_without_cell(frame: pd.DataFrame, numbered: bool) -> pd.DataFrame:
    """Drop the column ``cell`` unless it was asked for."""
    return frame if numbered else frame.drop(columns="cell")


def named_cells(cells: Cells) -> pd.DataFrame:
    """The cells' axes, and the images that selected their epochs."""
    return cells.table[[*cells.axes, SELECTED_ON]]


def declaring_spec(records: Records) -> SweepSpec:
    """The spec that declares the comparisons.

    Raises:
        InputError: the sweep has no spec.
    """
    if records.spec is None:
        raise InputError("this sweep has no spec, so it declares no comparisons")
    return read_spec(records.spec)
