"""Where each trial of a sweep stands, and how long what is left will take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from orchestration.model.metric import Metric
from orchestration.model.trial import Trial
from orchestration.progress.events import (
    Added,
    EpochDone,
    Event,
    Failed,
    Looked,
    Planned,
    Retried,
    Started,
)
from orchestration.sweep.plan import Plan

__all__ = ["Progress", "TrialState", "duration"]


@dataclass
class TrialState:
    """One trial, as what was told of it has it."""

    cell: str
    seed: str
    epochs: int | None
    """None: as many as it wants."""
    kind: str
    cost: float
    metric: Metric
    state: str = "waiting"
    epoch: int = 0
    best: float | None = None
    seconds: float | None = None


class Progress:
    """Where each trial of a sweep stands.

    Args:
        clock: gives the time in seconds; that of what is shown, which may lie in the past.
    """

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.trials: dict[str, TrialState] = {}
        self.looked = Looked({}, "")
        self._clock = clock
        self._started = clock()

    def take(self, event: Event) -> None:
        """Take in what has happened."""
        match event:
            case Planned(plan):
                self._started = self._clock()
                self._plan(plan)
            case Added(plan):
                self._plan(plan)
            case EpochDone(label, report):
                self._report(self.trials[label], report)
            case Looked():
                self.looked = event
            case Started(label):
                self.trials[label].state = "running"
            case Retried(label):
                self.trials[label].state = "waiting"
            case Failed(label):
                self.trials[label].state = "failed"

    def _plan(self, plan: Plan) -> None:
        known = {one.trial: one for one in (*plan.resume, *plan.reuse, *plan.copy)}
        for trial in (*plan.run, *known):
            self.trials[trial.label] = state = _new_state(trial)
            if trial in known:
                state.epoch = known[trial].run.epochs_done
                state.seconds = known[trial].run.epoch_seconds
        for reused in (*plan.reuse, *plan.copy):
            self.trials[reused.trial.label].state = "reused"

    def _report(self, state: TrialState, report: Mapping[str, Any]) -> None:
        state.state = report["outcome"] or "running"
        if "epoch" in report:
            state.epoch = report["epoch"]
            state.best = report["best"]
            state.seconds = report["epoch_seconds"]

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(trial.state in states for trial in self.trials.values())

    @property
    def done(self) -> int:
        """How many trials have their result."""
        return self.count("completed", "collapsed", "diverged", "reused")

    def seconds_left(self) -> float | None:
        """An estimate from epochs seen: of the cell, its kind, or any; None where nobody knows."""
        # By cost, so that an epoch tells something of others that cost more or less.
        samples: dict[str, list[float]] = {}
        for trial in self.trials.values():
            if trial.seconds is not None:
                for group in (trial.cell, trial.kind, ""):
                    samples.setdefault(group, []).append(trial.seconds / trial.cost)
        if not samples:
            return None
        total = 0.0
        for trial in self.trials.values():
            if trial.state in ("waiting", "running"):
                if trial.epochs is None:
                    return None
                near = samples.get(trial.cell) or samples.get(trial.kind) or samples[""]
                total += fmean(near) * trial.cost * (trial.epochs - trial.epoch)
        return total / max(1, self.count("running"))

    def summary(self) -> str:
        """One line: how many trials are in which state, time taken and left."""
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


def _new_state(trial: Trial) -> TrialState:
    cell = trial.label.rpartition(" seed ")[0]
    config = trial.config
    return TrialState(
        cell, str(config.seed), config.epochs, config.kind, config.epoch_cost, trial.metric
    )


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
