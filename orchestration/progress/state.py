"""The status of each trial of a sweep, and how long the remaining ones will take."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from orchestration.model.durations import duration, seconds_left
from orchestration.model.status import FINISHED_STATES, TrialStatus
from orchestration.model.trial import Trial
from orchestration.progress import events
from orchestration.sweep.plan import Plan


class Progress:
    """The status of each trial of a sweep.

    Args:
        clock: returns the time in seconds. When a log is replayed, it is the time of the events.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.trials: dict[str, Trial] = {}
        self.statuses: dict[str, TrialStatus] = {}
        """Both are by the trial's label, in the order of the plan."""
        self.decisions = events.DecisionProgress({}, "")
        self._clock = clock
        self._started = clock()
        self._counts: Counter[str] = Counter()
        self._left: float | None = None
        self._changes = 0

    def update(self, event: events.Event) -> None:
        """Update the state with one event."""
        match event:
            case events.Planned(plan):
                self._started = self._clock()
                self._add(plan)
            case events.Added(plan):
                self._add(plan)
            case events.EpochDone(label, report):
                self._report(label, report)
            case events.DecisionProgress():
                self.decisions = event
            case events.Started(label):
                self._change(label, state="running")
            case events.Retried(label):
                self._change(label, state="waiting")
            case events.Failed(label):
                self._change(label, state="failed")

    def _add(self, plan: Plan) -> None:
        pairs = (*plan.resume, *plan.reuse, *plan.copy)
        for trial in (*plan.run, *(trial for trial, _ in pairs)):
            self.trials[trial.label] = trial
            self.statuses[trial.label] = TrialStatus()
        for trial, run in pairs:
            self._change(trial.label, epoch=run.epochs_done, epoch_seconds=run.epoch_seconds)
        for trial, _ in (*plan.reuse, *plan.copy):
            self._change(trial.label, state="reused")
        self._counts = Counter(status.state for status in self.statuses.values())
        self._changes = len(self.statuses)

    def _report(self, label: str, report: Mapping[str, Any]) -> None:
        going_on = "paused" if report.get("is_paused") else "running"
        self._change(label, state=report["outcome"] or going_on)
        if "best" in report:  # a trial that only closes its run reports it without an epoch
            self._change(label, best=report["best"])
        if "epoch" in report:
            self._change(label, epoch=report["epoch"], epoch_seconds=report["epoch_seconds"])

    def _change(self, label: str, **changes: Any) -> None:
        before = self.statuses[label]
        self.statuses[label] = after = replace(before, **changes)
        self._counts[before.state] -= 1
        self._counts[after.state] += 1
        self._changes += 1

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(self._counts[state] for state in states)

    @property
    def done(self) -> int:
        """How many trials have a result."""
        return self.count(*FINISHED_STATES)

    def seconds_left(self) -> float | None:
        """The estimated time left, from the epochs so far; None if it cannot be estimated.

        An estimate considers every trial, so there is a new one once 5 % of them have changed.
        """
        if 20 * self._changes >= len(self.statuses):
            self._left, self._changes = self._estimate(), 0
        return self._left

    def _estimate(self) -> float | None:
        statuses = [(self.trials[label], status) for label, status in self.statuses.items()]
        recorded = [(trial, status.epoch_seconds) for trial, status in statuses]
        remaining = [
            (trial, status.epoch)
            for trial, status in statuses
            if status.state in ("waiting", "running")
        ]
        return seconds_left(recorded, remaining, at_once=self.count("running"))

    def summary(self) -> str:
        """One line: how many trials are in which state, the time so far and the time left."""
        left = self.seconds_left()
        parts = [
            f"{self.done} of {len(self.trials)} done",
            f"{self.count('running')} running",
            f"{self.count('waiting')} waiting",
            f"{self.count('failed')} failed",
            f"{duration(self._clock() - self._started)} elapsed",
            "time left unknown yet" if left is None else f"about {duration(left)} left",
        ]
        return " · ".join(parts)
