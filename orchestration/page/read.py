"""Reads what the pages show from MLflow's database, and again only what has changed."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

import pandas as pd

from orchestration.errors import InputError, SpecError
from orchestration.model.durations import EPOCH_SECONDS
from orchestration.model.metric import SPIKE_RATE, TEST_SET, Metric
from orchestration.model.status import TrialStatus
from orchestration.page.drawing.estimates import seconds_left
from orchestration.page.drawing.layers import DIAGNOSED, medians_of
from orchestration.page.drawing.state import Cell, Grid, failures_of, grid_of
from orchestration.page.drawing.text import last_lines
from orchestration.reading.change_token import ChangeToken, change_token, change_tokens
from orchestration.reading.records import Records, Source
from orchestration.reading.sql import SqlSource
from orchestration.reading.summaries import SweepSummary, all_sweeps, one_sweep, some_sweeps
from orchestration.record.names import LABEL_TAG, REASON_TAG
from orchestration.results.cells import Cells, assign_cells
from orchestration.results.columns import SELECTED_ON
from orchestration.results.frames import METRIC_OF, metrics_by_epoch
from orchestration.results.results import Results
from orchestration.results.spec_cells import spec_cells
from orchestration.tables.report_data import MOST_DIAGNOSED, ReportData

_READ = (*METRIC_OF.values(), EPOCH_SECONDS, SPIKE_RATE)
_MOST_KEPT = 8
_T = TypeVar("_T")
_WITHOUT_TOKENS = 5.0
"""Without change tokens, everything is read again after this many seconds."""


@dataclass(frozen=True)
class Sweep:
    """What the page of a sweep shows.

    Args:
        summary: its status, hours and progress, as the list of sweeps has them.
        data: the tables of its finished trials.
        unfinished: the records of its other trials.
        curves: the metric of the trials whose curves are drawn, by ``cell``, ``run_id``, ``epoch``.
        failures: the failed and stopped trials with their labels, the newest first.
        seconds_left: the estimated time left; None if it cannot be estimated.
    """

    summary: SweepSummary
    grid: Grid
    data: ReportData
    unfinished: Records
    curves: pd.DataFrame
    failures: list[tuple[str, TrialStatus]]
    seconds_left: float | None
    token: ChangeToken

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.summary.name

    @property
    def status(self) -> str:
        """The sweep's status."""
        return self.summary.status

    @property
    def metrics(self) -> list[str]:
        """The names of the metrics that can be shown by epoch, the one it is judged by first."""
        cells = self.data.sweep.cells
        recorded = [*self.records.metrics, *self.unfinished.metrics]
        validates = any(cells.table[SELECTED_ON] != TEST_SET)
        of_layers = cells.kind.layer_metrics(recorded, SPIKE_RATE)
        by_epoch = [
            name
            for name in metrics_by_epoch(cells, recorded)
            if name not in of_layers and (validates or "validation" not in name)
        ]
        return list(dict.fromkeys([cells.metric.name, *by_epoch]))

    def metric(self, name: str) -> Metric:
        """One of ``metrics``."""
        if name == self.grid.metric.name:
            return self.grid.metric
        return self.grid.kind.metric(name)

    @property
    def records(self) -> Records:
        """The records of the finished trials."""
        return self.data.sweep.records

    def records_of(self, run: str) -> Records:
        """The records that have this run of a trial."""
        return self.records if run in self.records.runs.index else self.unfinished

    def labels(self) -> dict[str, str]:
        """The labels of the trials in the events, by run id."""
        both = (self.records, self.unfinished)
        return {run: label for records in both for run, _, label in records.tag_rows((LABEL_TAG,))}


class Reader:
    """Reads from one source, which may be a database. Its methods may be called from several
    threads.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._listing = Lock()
        self._tokens: dict[str, ChangeToken] = {}
        self._listed: list[SweepSummary] = []
        self._reading: dict[str, Lock] = defaultdict(Lock)
        self._looked: dict[str, float] = {}
        self._finished: OrderedDict[str, tuple[str, ReportData]] = OrderedDict()
        self._sweeps: OrderedDict[str, Sweep] = OrderedDict()

    def token(self, name: str) -> ChangeToken:
        """The token of a sweep, which is equal as long as nothing has changed."""
        if isinstance(self._source, SqlSource):
            return change_token(self._source, name)
        now = str(int(time.monotonic() / _WITHOUT_TOKENS))
        return ChangeToken(now, now)

    def sweeps(self) -> list[SweepSummary]:
        """All sweeps, the last started first; only those that have changed are read again."""
        source = self._source
        with self._listing:
            if isinstance(source, SqlSource):
                tokens = change_tokens(source)
                changed = {name for name in tokens if tokens[name] != self._tokens.get(name)}
                same = tokens.keys() - changed
                listed = [sweep for sweep in self._listed if sweep.name in same]
                listed += some_sweeps(source, changed) if changed else []
            else:  # nothing tells which of them have changed
                tokens = {"": self.token("")}
                listed = self._listed if tokens == self._tokens else all_sweeps(source)
            self._tokens = tokens
            self._listed = sorted(listed, key=lambda sweep: sweep.started, reverse=True)
            return self._listed

    def database_bytes(self) -> int | None:
        """The size of MLflow's database; None if it is not known."""
        return self._source.size() if isinstance(self._source, SqlSource) else None

    def names(self) -> list[str]:
        """The names of all sweeps, the last started first."""
        if isinstance(self._source, SqlSource):  # the list takes long, and changes at every epoch
            return self._source.sweep_names()
        return [sweep.name for sweep in self.sweeps()]

    def layers(self, sweep: Sweep) -> pd.DataFrame:
        """Diagnostics by layer of a sweep's finished trials, as ``layers.medians_of`` returns them.

        There are many, so only those of the drawn cells are read, and only on request.
        """
        snapshot = Results.of(self._source, sweep.name).snapshot(DIAGNOSED)
        trials, diagnosed = snapshot.trials(numbered=True), snapshot.diagnosed
        trials = trials[trials["cell"].notna() & trials["run_id"].isin(diagnosed)]
        trials = trials.astype({"cell": "int64"})
        drawn = [cell.number for cells in sweep.grid.drawn() for cell in cells]
        cells = [cell for cell in drawn if cell in set(trials["cell"])][:MOST_DIAGNOSED]
        return medians_of(snapshot.diagnostics(trials[trials["cell"].isin(cells)], numbered=True))

    def points(self, sweep: Sweep, metric: str) -> pd.DataFrame:
        """A metric by ``cell``, ``run_id`` and ``epoch``, of the cells that the page draws."""
        if metric == sweep.grid.metric.name:
            return sweep.curves
        return self._points(sweep.grid, metric)

    def trial(self, sweep: Sweep, run: str) -> tuple[Cell, int, TrialStatus]:
        """The cell, the seed and the status of the trial that has this run, with its error.

        Raises:
            InputError: no trial of this sweep has such a run.
        """
        for cell, seed, trial in sweep.grid.trials():
            if run and trial.run_id == run:
                tags = sweep.records_of(run).tag_rows((REASON_TAG,))
                reason = "".join(text for run_id, _, text in tags if run_id == run)
                error = last_lines(reason, lines=60, most=8000)
                return cell, seed, replace(trial, error=error)
        raise InputError(f"sweep {sweep.name} has no trial with the run {run[:200]!r}")

    def metrics(self, sweep: Sweep, run: str) -> pd.DataFrame:
        """The metrics of a trial's run by ``metric`` and ``epoch``."""
        return self._source.points([run], sweep.metrics)

    def sweep(self, name: str, asked: float | None = None) -> Sweep:
        """One sweep, as it was at some moment since it was asked for.

        Args:
            asked: when, by ``time.monotonic``; now if None.

        Raises:
            InputError: there is none of this name.
        """
        asked = time.monotonic() if asked is None else asked
        with self._reading[name]:
            known = self._sweeps.get(name)
            if known is not None and self._looked[name] >= asked:
                return known
            began = time.monotonic()
            token = self.token(name)
            if known is None or known.token != token:
                try:
                    known = self._read(name, token)
                except InputError:  # unknown names must not fill the memory
                    self._reading.pop(name, None)
                    raise
                _keep(self._sweeps, name, known)
            self._looked[name] = began
            return known

    def _read(self, name: str, token: ChangeToken) -> Sweep:
        kept = self._finished.get(name)
        if kept is None or kept[0] != token.finished:
            snapshot = Results.of(self._source, name).snapshot(_READ)
            kept = token.finished, ReportData(name, snapshot)
            _keep(self._finished, name, kept)
        data = kept[1]
        records, cells = data.sweep.records, data.sweep.cells
        wanted = cells.kind.metrics_to_read([EPOCH_SECONDS])
        others = self._source.read(name, wanted, finished=False)
        unfinished = self._unfinished(others, records.spec, cells)
        summary = one_sweep(self._source, name)
        is_running = summary.status == "running"
        grid = grid_of(data, unfinished, is_running=is_running)
        all_cells = pd.concat([cells.of_trial, unfinished.set_index("run_id")["cell"]])
        return Sweep(
            summary=summary,
            grid=grid,
            data=data,
            unfinished=others,
            curves=self._points(grid, cells.metric.name),
            failures=failures_of(others),
            seconds_left=seconds_left(grid, all_cells, records, others) if is_running else None,
            token=token,
        )

    def _unfinished(self, others: Records, spec: str | None, cells: Cells) -> pd.DataFrame:
        """The trials that are in a cell, with their best value and last epoch so far."""
        of_spec = None
        with suppress(SpecError):
            of_spec = spec_cells(spec) if spec else None
        columns = ["run_id", "cell", "seed", "status", "started", "best", "epoch"]
        if of_spec is None or others.runs.empty:
            return pd.DataFrame(columns=columns)
        placed = assign_cells(others, of_spec, rankings=cells.rankings)
        runs = others.runs.assign(cell=placed.of_trial, seed=placed.seeds)
        runs = runs[runs["cell"].notna()].astype({"cell": "int64", "seed": "int64"})
        metric = cells.metric
        points = self._source.points(runs.index.tolist(), [metric.name])
        by_run = points.groupby("run_id")
        best = by_run["value"].max() if metric.goal == "maximize" else by_run["value"].min()
        runs["best"] = best.reindex(runs.index)
        runs["epoch"] = by_run["epoch"].max().reindex(runs.index).fillna(0).astype("int64")
        return runs.reset_index(names="run_id")[columns]

    def _points(self, grid: Grid, metric: str) -> pd.DataFrame:
        drawn = {cell.number for cells in grid.drawn() for cell in cells}
        cells = {
            trial.run_id: cell.number
            for cell, _, trial in grid.trials()
            if trial.run_id and cell.number in drawn
        }
        points = self._source.points(list(cells), [metric])
        return points.assign(cell=points["run_id"].map(cells))[["cell", "run_id", "epoch", "value"]]


def _keep(kept: OrderedDict[str, _T], name: str, value: _T) -> None:
    """Keep a value, and drop the value that was read the longest ago."""
    kept[name] = value
    kept.move_to_end(name)
    while len(kept) > _MOST_KEPT:
        kept.popitem(last=False)
