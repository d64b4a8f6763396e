"""Compares wanted trials with recorded runs: what to run, resume, reuse and close. Pure.

A run whose status is RUNNING counts as abandoned: the process that acts on a plan holds the
sweep's lease, so no other one writes. Statuses are MLflow's; a run is finished only if it also has
an outcome.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from orchestration.model.counting_runs import counting_runs
from orchestration.model.durations import impossible_times, possible_seconds, seconds_left
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial

TrialAndRun = tuple[Trial, TrialRun]
"""A wanted trial, and the run that has its result or that it continues in."""


@dataclass(frozen=True)
class Closing:
    """A run whose status is RUNNING and that is not continued, and why."""

    run: TrialRun
    reason: str


@dataclass(frozen=True)
class Plan:
    """What to do with each wanted trial, and with runs that were left open.

    Args:
        run: trials to train from the start.
        resume: trials to continue, in the run that was interrupted.
        reuse: trials that have a result.
        copy: trials that have a result in another sweep.
        close: runs to end as KILLED, with the reason.
        replace: runs that no longer count, because their trials are run again.
        superfluous: finished runs of trials for which another run counts.
        warnings: what the user should know.
    """

    run: tuple[Trial, ...]
    resume: tuple[TrialAndRun, ...]
    reuse: tuple[TrialAndRun, ...]
    copy: tuple[TrialAndRun, ...]
    close: tuple[Closing, ...]
    replace: tuple[TrialRun, ...]
    superfluous: tuple[TrialRun, ...]
    warnings: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """The plan as plain data, for JSON."""
        return {
            "run": [trial.to_dict() for trial in self.run],
            "resume": list(map(_pair_to_dict, self.resume)),
            "reuse": list(map(_pair_to_dict, self.reuse)),
            "copy": list(map(_pair_to_dict, self.copy)),
            "close": [
                {"run_id": closing.run.run_id, "reason": closing.reason} for closing in self.close
            ],
            "replace": list(map(_run_to_dict, self.replace)),
            "superfluous": list(map(_run_to_dict, self.superfluous)),
            "warnings": list(self.warnings),
        }

    @property
    def to_train(self) -> list[Trial]:
        """The trials to start and to continue."""
        return [*self.run, *(trial for trial, _ in self.resume)]

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Self:
        """Read the trials of a plan and their runs from what :meth:`to_dict` wrote."""
        return cls(
            run=tuple(map(Trial.from_dict, fields["run"])),
            resume=tuple(map(_pair_from_dict, fields["resume"])),
            reuse=tuple(map(_pair_from_dict, fields["reuse"])),
            copy=tuple(map(_pair_from_dict, fields.get("copy", ()))),
            close=(),
            replace=(),
            superfluous=(),
            warnings=(),
        )


def make_plan(
    trials: Iterable[Trial],
    recorded: Iterable[TrialRun],
    *,
    version: str,
    elsewhere: Iterable[TrialRun] = (),
    fresh: bool = False,
) -> Plan:
    """Reconcile what is wanted with what is recorded.

    Args:
        trials: every wanted trial once.
        recorded: the runs of the sweep, the earliest started first.
        version: the version of this package.
        elsewhere: finished runs of other sweeps.
        fresh: whether to run every trial again, even if it has a result.
    """
    runs_of: dict[str, list[TrialRun]] = defaultdict(list)
    for run in recorded:
        runs_of[run.trial_key].append(run)
    finished_elsewhere = counting_runs(elsewhere)
    new: list[Trial] = []
    resume: list[TrialAndRun] = []
    reuse: list[TrialAndRun] = []
    copy: list[TrialAndRun] = []
    close: list[Closing] = []
    replace: list[TrialRun] = []
    superfluous: list[TrialRun] = []
    for trial in trials:
        runs = runs_of.pop(trial.key, [])
        counted = counting_runs(runs).get(trial.key)
        if fresh:
            new.append(trial)
            replace += runs
            close += _open(runs, "its trial is run again")
        elif counted:
            reuse.append((trial, counted))
            superfluous += [run for run in runs if run.finished and run is not counted]
            reason = f"run {counted.run_id} of the same trial has finished"
            close += _open(runs, reason)
        elif other := finished_elsewhere.get(trial.key):
            copy.append((trial, other))
            close += _open(runs, f"run {other.run_id} of the same trial has finished elsewhere")
        elif resumable := [run for run in runs if run.resumable]:
            # max() keeps the first of equals: the later one has the newer checkpoint.
            furthest = max(reversed(resumable), key=lambda run: run.epochs_done)
            resume.append((trial, furthest))
            reason = f"run {furthest.run_id} of the same trial is continued instead"
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
        *_time_warnings([*reuse, *copy, *resume]),
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
    """How long the plan takes with ``slots`` trials at a time; None if that is unknown."""
    with_runs = (*plan.reuse, *plan.copy, *plan.resume)
    recorded = [(trial, run.epoch_seconds) for trial, run in with_runs]
    remaining = [(trial, 0) for trial in plan.run]
    remaining += [(trial, run.epochs_done) for trial, run in plan.resume]
    return seconds_left(recorded, remaining, slots)


_RUN_FIELDS = ("run_id", "outcome", "epochs_done", "epoch_seconds")


def _run_to_dict(run: TrialRun) -> dict[str, Any]:
    names = ("trial_key", "status", "version", "resumable", "best")
    return {name: getattr(run, name) for name in (*_RUN_FIELDS, *names)}


def _pair_to_dict(pair: TrialAndRun) -> dict[str, Any]:
    trial, run = pair
    return trial.to_dict() | {name: getattr(run, name) for name in _RUN_FIELDS}


def _pair_from_dict(fields: Mapping[str, Any]) -> TrialAndRun:
    run = TrialRun(
        trial_key=fields["key"],
        status="FINISHED" if fields["outcome"] else "RUNNING",
        version=None,
        resumable=True,
        **{name: fields[name] for name in _RUN_FIELDS},
    )
    return Trial.from_dict(fields), run


def _open(runs: Iterable[TrialRun], reason: str) -> list[Closing]:
    return [Closing(run, reason) for run in runs if run.status == "RUNNING"]


def _version_warnings(matches: Sequence[TrialAndRun], doing: str, version: str) -> list[str]:
    """One warning for each other version, whatever its number of runs."""
    runs_by: dict[str, list[TrialRun]] = defaultdict(list)
    for _, run in matches:
        if run.version != version:
            runs_by[run.version or "unknown"].append(run)
    return [
        f"{doing} {_count(runs)} made by version {other} (this is version {version}): "
        "their numbers may differ from those of new runs; --fresh runs all trials again"
        for other, runs in sorted(runs_by.items())
    ]


def _double_warnings(superfluous: Sequence[TrialRun]) -> list[str]:
    if not superfluous:
        return []
    names = ", ".join(run.run_id for run in superfluous[:3])
    names += ", …" if len(superfluous) > 3 else ""
    return [
        f"{_count(superfluous)} finished for a trial that had already finished ({names}): "
        "only the run that finished first counts"
    ]


def _time_warnings(pairs: Sequence[TrialAndRun]) -> list[str]:
    times = [run.epoch_seconds for _, run in pairs if run.epoch_seconds is not None]
    wrong = [seconds for seconds in times if possible_seconds(seconds) is None]
    return [f"{impossible_times(len(wrong))} of estimates: {wrong[0]:g}"] if wrong else []


def _count(runs: Sequence[TrialRun]) -> str:
    return f"{len(runs)} run{'s' if len(runs) > 1 else ''}"
