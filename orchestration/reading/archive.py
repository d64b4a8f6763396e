"""Reads a sweep's records from a file that ``snn-sweep export`` wrote, without a server."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace

import pandas as pd

from orchestration.reading.records import (
    ALL_METRICS,
    MlflowRun,
    Records,
    point_frame,
    records_of_runs,
)
from orchestration.record.archive import SweepArchive
from orchestration.record.finished_trial import FinishedTrial
from orchestration.record.names import spec_tags
from orchestration.record.unknown_sweep import unknown_sweep

_ENDINGS = (".jsonl", ".jsonl.gz")


def names_archive(name: str) -> bool:
    """Whether a name is that of an archive's file, not that of a sweep.

    It is if it ends in .jsonl or .jsonl.gz, or holds a slash, which no sweep's name does.
    """
    return "/" in name or name.endswith(_ENDINGS)


class ArchiveSource:
    """Reads one sweep's archive. Runs keep the ids of the server from which it was exported."""

    def __init__(self, archive: SweepArchive) -> None:
        self.sweep = archive.name
        self._spec = archive.spec
        self._trials = {trial.run_id: trial for trial in archive.trials}

    def check(self, sweep: str) -> None:
        """Raise InputError if the archive holds another sweep."""
        if sweep != self.sweep:
            raise unknown_sweep(sweep, {self.sweep: self.sweep})

    def read(
        self,
        sweep: str,
        metrics: Collection[str] = ALL_METRICS,
        *,
        finished: bool = True,
        replaced: bool = False,  # noqa: ARG002 - replaced runs are not exported
    ) -> Records:
        """Return the sweep's finished trials, or those that its search pruned."""
        self.check(sweep)
        parents = [MlflowRun("", "", None, None, spec_tags(self._spec))] if self._spec else []
        trials = [trial for trial in self._trials.values() if trial.is_pruned is not finished]
        runs = map(_as_run, trials)
        return replace(records_of_runs(runs, metrics, parents, ""), parent_run_id=None)

    def points(self, run_ids: Sequence[str], metrics: Collection[str]) -> pd.DataFrame:
        """Return these metrics of these runs by epoch."""
        wanted = set(metrics)
        return point_frame(
            (run_id, *point)
            for run_id in run_ids
            for point in self._trials[run_id].points
            if point[0] in wanted
        )


def _as_run(trial: FinishedTrial) -> MlflowRun:
    """A trial with each metric's last value, chosen as in MLflow's ``latest_metrics``."""
    ordered = sorted(
        trial.points,
        key=lambda point: (point[1], point[2], -math.inf if math.isnan(point[3]) else point[3]),
    )
    return MlflowRun(
        trial.run_id,
        "KILLED" if trial.is_pruned else "FINISHED",
        trial.started,
        trial.ended,
        trial.tags,
        params=trial.params,
        metrics={name: (step, value) for name, step, _, value in ordered},
    )
