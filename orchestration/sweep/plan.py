"""Wanted trials against recorded runs: what to run, resume, reuse and close. Pure.

A run that says RUNNING counts as one without a writer: whoever acts on a plan holds the sweep's
lease, so nobody else writes. Statuses are MLflow's; a run is finished if it has an outcome too.
"""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any, Literal, Self

from orchestration.model.config import read_config
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.trial import Trial

__all__ = [
    "Closing",
    "Matched",
    "Plan",
    "RecordedRun",
    "estimate_seconds",
    "make_plan",
]


@dataclass(frozen=True)
class RecordedRun:
    """What the record says of one trial's run.

    Args:
        run_id: MLflow's.
        trial_key: the trial it is a run of.
        status: MLflow's.
        outcome: completed, collapsed or diverged; None until it has finished.
        epochs_done: the last epoch recorded, 0 before the first.
        epoch_seconds: of its last epoch in the record; None before the first.
        version: of this package, when the run was started.
        resumable: whether its work in progress, checkpoint and records, is at hand.
        best: what its best epoch came to, by what the sweep is judged by; None where it has none.
    """

    run_id: str
    trial_key: str
    status: Literal["RUNNING", "FINISHED", "FAILED", "KILLED"]
    outcome: str | None
    epochs_done: int
    epoch_seconds: float | None
    version: str | None
    resumable: bool
    best: float | None = None

    @property
    def finished(self) -> bool:
        """Whether it has a result."""
        return self.status == "FINISHED" and self.outcome is not None


@dataclass(frozen=True)
class Matched:
    """A wanted trial and the run that it goes on in, or has its result from."""

    trial: Trial
    run: RecordedRun


@dataclass(frozen=True)
class Closing:
    """A run that says RUNNING and is not to go on, and why."""

    run: RecordedRun
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to do with each wanted trial, and with runs that were left open.

    Args:
        run: trials to train from the start.
        resume: trials to go on with, in the run that was interrupted.
        reuse: trials that have their result.
        copy: trials whose result another sweep has.
        close: runs to end as KILLED, with the reason.
        replace: runs that count no longer, because their trials are made anew.
        superfluous: finished runs of a trial that has an earlier one; they do not count.
        warnings: what the user should know.
    """

    run: tuple[Trial, ...]
    resume: tuple[Matched, ...]
    reuse: tuple[Matched, ...]
    copy: tuple[Matched, ...]
    close: tuple[Closing, ...]
    replace: tuple[RecordedRun, ...]
    superfluous: tuple[RecordedRun, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, for JSON."""
        return {
            "run": [_trial(trial) for trial in self.run],
            "resume": [_matched(one) for one in self.resume],
            "reuse": [_matched(one) for one in self.reuse],
            "copy": [_matched(one) for one in self.copy],
            "close": [{"run_id": one.run.run_id, "reason": one.reason} for one in self.close],
            "replace": [asdict(run) for run in self.replace],
            "superfluous": [asdict(run) for run in self.superfluous],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Self:
        """The trials of a plan and their runs, from what :meth:`to_dict` gave."""
        return cls(
            run=tuple(map(_read_trial, told["run"])),
            resume=tuple(map(_read_matched, told["resume"])),
            reuse=tuple(map(_read_matched, told["reuse"])),
            copy=tuple(map(_read_matched, told.get("copy", ()))),
            close=(),
            replace=(),
            superfluous=(),
            warnings=(),
        )


def make_plan(
    trials: Iterable[Trial],
    recorded: Iterable[RecordedRun],
    *,
    version: str,
    elsewhere: Iterable[RecordedRun] = (),
    fresh: bool = False,
) -> Plan:
    """Reconcile what is wanted with what is recorded.

    Args:
        trials: every wanted trial once.
        recorded: the runs of the sweep, the earliest started first.
        version: of this package.
        elsewhere: finished runs of other sweeps, the earliest started first.
        fresh: make every trial anew, whatever there is of it.
    """
    runs_of: dict[str, list[RecordedRun]] = defaultdict(list)
    for run in recorded:
        runs_of[run.trial_key].append(run)
    finished_elsewhere = {run.trial_key: run for run in reversed(list(elsewhere)) if run.finished}
    new: list[Trial] = []
    resume: list[Matched] = []
    reuse: list[Matched] = []
    copy: list[Matched] = []
    close: list[Closing] = []
    replace: list[RecordedRun] = []
    superfluous: list[RecordedRun] = []
    for trial in trials:
        runs = runs_of.pop(trial.key, [])
        finished = [run for run in runs if run.finished]
        if fresh:
            new.append(trial)
            replace += runs
            close += _open(runs, "its trial is made anew")
        elif finished:
            reuse.append(Matched(trial, finished[0]))
            superfluous += finished[1:]
            reason = f"run {finished[0].run_id} of the same trial has finished"
            close += _open(runs, reason)
        elif other := finished_elsewhere.get(trial.key):
            copy.append(Matched(trial, other))
            close += _open(runs, f"run {other.run_id} of the same trial has finished elsewhere")
        elif resumable := [run for run in runs if run.resumable]:
            # max() keeps the first of equals: the later one has the newer checkpoint.
            furthest = max(reversed(resumable), key=lambda run: run.epochs_done)
            resume.append(Matched(trial, furthest))
            reason = f"run {furthest.run_id} of the same trial goes on instead"
            close += _open([run for run in runs if run is not furthest], reason)
        else:
            new.append(trial)
            close += _open(runs, "its writer is gone, and so is its checkpoint")
    for runs in runs_of.values():
        close += _open(runs, "its writer is gone, and the spec no longer wants the trial")
    warnings = (
        *_version_warnings([*reuse, *copy], "reusing", version),
        *_version_warnings(resume, "resuming", version),
        *_double_warnings(superfluous),
    )
    return Plan(
        run=tuple(new),
        resume=tuple(resume),
        reuse=tuple(reuse),
        copy=tuple(copy),
        close=tuple(close),
        replace=tuple(replace),
        superfluous=tuple(superfluous),
        warnings=warnings,
    )


def estimate_seconds(plan: Plan, slots: int) -> float | None:
    """How long the plan takes with ``slots`` trials at a time; None where nothing tells.

    An epoch takes as long as recorded ones of the same cell did; else as those of the same
    kind: architecture, or training code of the user's own.
    """
    known = _epoch_seconds(plan)
    durations = []
    to_do = [(trial, 0) for trial in plan.run]
    to_do += [(one.trial, one.run.epochs_done) for one in plan.resume]
    for trial, done in to_do:
        seconds = known.get(trial.cell, known.get(trial.config.kind))
        if seconds is None or trial.config.epochs is None:
            return None
        durations.append(seconds * max(0, trial.config.epochs - done))
    ends = [0.0] * slots
    for duration in sorted(durations, reverse=True):
        heapq.heapreplace(ends, ends[0] + duration)
    return max(ends)


def _trial(trial: Trial) -> dict[str, Any]:
    # The key has one name in `plan --json` and another in logs of events, which share this.
    keys = {"trial_key": trial.key, "key": trial.key}
    told = {**keys, "label": trial.label, "config": trial.config.given()}
    return told if trial.metric == TEST_ACCURACY else {**told, "metric": trial.metric.to_dict()}


_OF_A_RUN = ("run_id", "outcome", "epochs_done", "epoch_seconds")


def _matched(one: Matched) -> dict[str, Any]:
    return _trial(one.trial) | {name: getattr(one.run, name) for name in _OF_A_RUN}


def _read_trial(told: Mapping[str, Any]) -> Trial:
    metric = Metric.from_dict(told["metric"]) if "metric" in told else TEST_ACCURACY
    return Trial(read_config(told["config"]), told["key"], told["label"], metric)


def _read_matched(told: Mapping[str, Any]) -> Matched:
    run = RecordedRun(
        trial_key=told["key"],
        status="FINISHED" if told["outcome"] else "RUNNING",
        version=None,
        resumable=True,
        **{name: told[name] for name in _OF_A_RUN},
    )
    return Matched(_read_trial(told), run)


def _open(runs: Iterable[RecordedRun], reason: str) -> list[Closing]:
    return [Closing(run, reason) for run in runs if run.status == "RUNNING"]


def _version_warnings(matches: Sequence[Matched], doing: str, version: str) -> list[str]:
    """One warning for each other version, however many runs it made."""
    runs_by: dict[str, list[RecordedRun]] = defaultdict(list)
    for one in matches:
        if one.run.version != version:
            runs_by[one.run.version or "unknown"].append(one.run)
    return [
        f"{doing} {_count(runs)} made by version {other} (this is version {version}): "
        "their numbers may differ from those of new runs; --fresh runs all trials anew"
        for other, runs in sorted(runs_by.items())
    ]


def _double_warnings(superfluous: Sequence[RecordedRun]) -> list[str]:
    if not superfluous:
        return []
    names = ", ".join(run.run_id for run in superfluous[:3])
    names += ", …" if len(superfluous) > 3 else ""
    return [
        f"{_count(superfluous)} finished for a trial that had already finished ({names}): "
        "only the earliest of a trial counts"
    ]


def _count(runs: Sequence[RecordedRun]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}"


def _epoch_seconds(plan: Plan) -> Mapping[object, float]:
    """Mean seconds of a recorded epoch, by cell and by kind."""
    samples: dict[object, list[float]] = defaultdict(list)
    for one in (*plan.reuse, *plan.copy, *plan.resume):
        if one.run.epoch_seconds is not None:
            samples[one.trial.cell].append(one.run.epoch_seconds)
            samples[one.trial.config.kind].append(one.run.epoch_seconds)
    return {of: fmean(seconds) for of, seconds in samples.items()}
