"""What a person sees while a sweep runs: a live table on a terminal, a line an event elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestration.progress.state import Progress, TrialState
from orchestration.sweep.plan import Plan

__all__ = ["LineWatch", "LiveWatch", "make_watch"]


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
        cells: dict[str, list[TrialState]] = {}
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


def _seed(trial: TrialState) -> Text:
    state = f"{trial.epoch}/{trial.epochs}" if trial.state == "running" else trial.state
    best = "" if trial.best is None else f" {_percent(trial.best)}"
    return Text(f"{trial.seed}: {state}{best}", style=_STYLES[trial.state])


def _percent(accuracy: float | None) -> str:
    return "–" if accuracy is None else f"{accuracy:.2%}"


def make_watch(console: Console, clock: Callable[[], float] = time.time) -> LineWatch | LiveWatch:
    """The watch that suits a console."""
    return LiveWatch(console, clock) if console.is_terminal else LineWatch(console, clock)
