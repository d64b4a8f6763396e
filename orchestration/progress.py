"""What a person sees while a sweep runs: a live table on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import fmean
from types import TracebackType
from typing import Any, Protocol, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestration.plan import Plan, epoch_cost
from orchestration.spec import Trial

__all__ = ["LineWatch", "LiveWatch", "Progress", "Watch", "duration", "make_watch"]


class Watch(Protocol):
    """Somebody who is told what happens in a sweep."""

    def planned(self, plan: Plan) -> None:
        """What the sweep is about to do."""

    def started(self, label: str) -> None:
        """A trial has a worker."""

    def epoch(self, label: str, report: Mapping[str, Any]) -> None:
        """A trial has done an epoch, or closed its books; ``report`` is the trial's own."""

    def retried(self, label: str, reason: str) -> None:
        """A trial will be tried again after a fault of the infrastructure."""

    def failed(self, label: str, reason: str) -> None:
        """A trial has failed for good."""

    def note(self, text: str) -> None:
        """Something else that the user should know."""


@dataclass
class _TrialState:
    cell: str
    seed: str
    epochs: int
    architecture: str
    cost: float
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
        self.trials: dict[str, _TrialState] = {}
        self._clock = clock
        self._started = clock()

    def plan(self, plan: Plan) -> None:
        """Take in the trials of a plan."""
        self._started = self._clock()
        known = {one.trial: one for one in (*plan.resume, *plan.reuse, *plan.copy)}
        for trial in (*plan.run, *known):
            self.trials[trial.label] = state = _new_state(trial)
            if trial in known:
                state.epoch = known[trial].run.epochs_done
                state.seconds = known[trial].run.epoch_seconds
        for reused in (*plan.reuse, *plan.copy):
            self.trials[reused.trial.label].state = "reused"

    def report(self, label: str, report: Mapping[str, Any]) -> _TrialState:
        """Take in what a trial reports after an epoch."""
        state = self.trials[label]
        state.state = report["outcome"] or "running"
        if "epoch" in report:
            state.epoch = report["epoch"]
            state.best = report["best_test_accuracy"]
            state.seconds = report["epoch_seconds"]
        return state

    def count(self, *states: str) -> int:
        """How many trials are in one of these states."""
        return sum(trial.state in states for trial in self.trials.values())

    @property
    def done(self) -> int:
        """How many trials have their result."""
        return self.count("completed", "collapsed", "diverged", "reused")

    def seconds_left(self) -> float | None:
        """An estimate from epochs seen: of the cell, the architecture, or any; None before any."""
        # By cost, so that an epoch tells something of others that cost more or less.
        samples: dict[str, list[float]] = {}
        for trial in self.trials.values():
            if trial.seconds is not None:
                for group in (trial.cell, trial.architecture, ""):
                    samples.setdefault(group, []).append(trial.seconds / trial.cost)
        if not samples:
            return None
        total = 0.0
        for trial in self.trials.values():
            if trial.state in ("waiting", "running"):
                near = samples.get(trial.cell) or samples.get(trial.architecture) or samples[""]
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


def _new_state(trial: Trial) -> _TrialState:
    cell = trial.label.rpartition(" seed ")[0]
    config = trial.config
    cost = epoch_cost(config)
    return _TrialState(cell, str(config.seed), config.epochs, config.architecture, cost)


class LineWatch:
    """Prints a line an event, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._progress = Progress(clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def planned(self, plan: Plan) -> None:
        self._progress.plan(plan)
        self._print(
            f"{len(plan.run)} trials to run, {len(plan.resume)} to resume, "
            f"{len(plan.reuse)} finished before"
            + (f", {len(plan.copy)} in other sweeps" if plan.copy else "")
        )

    def started(self, label: str) -> None:
        self._progress.trials[label].state = "running"
        self._print(f"{label}: started")

    def epoch(self, label: str, report: Mapping[str, Any]) -> None:
        trial = self._progress.report(label, report)
        if "epoch" in report:
            self._print(
                f"{label}: epoch {trial.epoch} of {trial.epochs}, "
                f"test accuracy {report['test_accuracy']:.2%}, {trial.seconds:.1f} s"
            )
        if report["outcome"] is not None:
            self._print(f"{label}: {trial.state}, best {_percent(trial.best)}")
            self._print(self._progress.summary())

    def retried(self, label: str, reason: str) -> None:
        self._progress.trials[label].state = "waiting"
        self._print(f"{label}: interrupted, will go on: {reason}")

    def failed(self, label: str, reason: str) -> None:
        self._progress.trials[label].state = "failed"
        self._print(f"{label}: failed: {reason}")

    def note(self, text: str) -> None:
        self._print(text)

    def _print(self, text: str) -> None:
        now = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._console.print(f"[{now}] {text}", markup=False, highlight=False, soft_wrap=True)


class LiveWatch:
    """Keeps a table up to date on a terminal: a row a cell, its seeds beside each other."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._progress = Progress(clock)
        self._live = Live(console=console, get_renderable=self._render, refresh_per_second=4)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def planned(self, plan: Plan) -> None:
        self._progress.plan(plan)

    def started(self, label: str) -> None:
        self._progress.trials[label].state = "running"

    def epoch(self, label: str, report: Mapping[str, Any]) -> None:
        self._progress.report(label, report)

    def retried(self, label: str, reason: str) -> None:
        self._progress.trials[label].state = "waiting"
        self.note(f"{label}: interrupted, will go on: {reason}")

    def failed(self, label: str, reason: str) -> None:
        self._progress.trials[label].state = "failed"
        self.note(f"{label}: failed: {reason}")

    def note(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def _render(self) -> Group:
        cells: dict[str, list[_TrialState]] = {}
        for trial in self._progress.trials.values():
            cells.setdefault(trial.cell, []).append(trial)
        table = Table(box=None, pad_edge=False)
        for column in ("cell", "best so far", "seeds"):
            table.add_column(column, style="bold" if column == "cell" else None)
        # Where there are more cells than lines, those at work are worth the most.
        shown = sorted(cells, key=lambda cell: not any(t.state == "running" for t in cells[cell]))
        shown = shown[: max(4, self._console.height - 4)]
        for cell in (cell for cell in cells if cell in shown):
            trials = cells[cell]
            best = max((t.best for t in trials if t.best is not None), default=None)
            table.add_row(cell, _percent(best), Text("  ").join(_seed(t) for t in trials))
        if len(shown) < len(cells):
            table.add_row(f"… {len(cells) - len(shown)} more", "", "")
        return Group(table, Text(self._progress.summary(), style="dim"))


_STYLES = {
    "waiting": "dim",
    "running": "cyan",
    "completed": "green",
    "reused": "green",
    "collapsed": "yellow",
    "diverged": "yellow",
    "failed": "bold red",
}


def _seed(trial: _TrialState) -> Text:
    state = f"{trial.epoch}/{trial.epochs}" if trial.state == "running" else trial.state
    best = "" if trial.best is None else f" {_percent(trial.best)}"
    return Text(f"{trial.seed}: {state}{best}", style=_STYLES[trial.state])


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.2%}"


def duration(seconds: float) -> str:
    """Seconds as a person says them: ``45 s``, ``12 min``, ``3 h 20 min``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


def make_watch(console: Console, clock: Callable[[], float] = time.time) -> LineWatch | LiveWatch:
    """The watch that suits a console."""
    return LiveWatch(console, clock) if console.is_terminal else LineWatch(console, clock)
