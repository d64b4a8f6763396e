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

from orchestration.progress.events import (
    Added,
    EpochDone,
    Event,
    Failed,
    Kept,
    Looked,
    Note,
    Planned,
    Retried,
    Started,
)
from orchestration.progress.state import Progress, TrialState

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

    def __call__(self, event: Event) -> None:
        """Print one event."""
        self._progress.take(event)
        match event:
            case Planned(plan):
                self._print(
                    f"{len(plan.run)} trials to run, {len(plan.resume)} to resume, "
                    f"{len(plan.reuse)} finished before"
                    + (f", {len(plan.copy)} in other sweeps" if plan.copy else "")
                )
            case Added(plan):
                labels = [*(t.label for t in plan.run), *(one.trial.label for one in plan.resume)]
                self._print(f"wanted besides: {', '.join(labels)}")
            case Started(label):
                self._print(f"{label}: started")
            case EpochDone(label, report):
                self._print_epoch(label, report)
            case Looked(_, words):
                self._print(words)
            case _:
                self._print(_in_words(event))

    def _print_epoch(self, label: str, report: Mapping[str, Any]) -> None:
        trial = self._progress.trials[label]
        if "epoch" in report:
            self._print(
                f"{label}: epoch {trial.epoch}{_of(trial)}, "
                f"{trial.metric.words} {trial.metric.text(report['value'])}, {trial.seconds:.1f} s"
            )
        if report["outcome"] is not None:
            self._print(f"{label}: {trial.state}, best {_best(trial)}")
            self._print(self._progress.summary())

    def _print(self, text: str) -> None:
        now = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._console.print(f"[{now}] {text}", soft_wrap=True)


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

    def __call__(self, event: Event) -> None:
        """Show one event: in the table, or above it."""
        self._progress.take(event)
        if isinstance(event, Retried | Failed | Kept | Note):
            self._console.print(_in_words(event))

    def _render(self) -> Group:
        cells: dict[str, list[TrialState]] = {}
        for trial in self._progress.trials.values():
            cells.setdefault(trial.cell, []).append(trial)
        decided, words = self._progress.looked.decided, self._progress.looked.words
        table = Table(box=None, pad_edge=False)
        table.add_column("cell", style="bold")
        table.add_column("best so far")
        if decided:
            table.add_column("decided")
        table.add_column("seeds")
        # Where there are more cells than lines, those at work are worth the most.
        shown = sorted(cells, key=lambda cell: not any(t.state == "running" for t in cells[cell]))
        shown = shown[: max(4, self._console.height - 4)]
        for cell in (cell for cell in cells if cell in shown):
            trials = cells[cell]
            columns = [decided.get(cell, "–")] if decided else []
            seeds = Text("  ").join(map(_seed, trials))
            table.add_row(cell, _best(*trials), *columns, seeds)
        if len(shown) < len(cells):
            table.add_row(f"… {len(cells) - len(shown)} more")
        lines = [Text(line, style="dim") for line in (self._progress.summary(), words) if line]
        return Group(table, *lines)


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
    running = f"{trial.epoch}/{trial.epochs}" if trial.epochs else f"epoch {trial.epoch}"
    state = running if trial.state == "running" else trial.state
    best = "" if trial.best is None else f" {_best(trial)}"
    return Text(f"{trial.seed}: {state}{best}", style=_STYLES[trial.state])


def _in_words(event: Retried | Failed | Kept | Note) -> str:
    match event:
        case Retried(label, reason):
            return f"{label}: interrupted, will be resumed: {reason}"
        case Failed(label, reason):
            return f"{label}: failed: {reason}"
        case Kept():
            return (
                "supervised: if its driver or the cluster's head dies, the sweep resumes by itself"
            )
        case Note(text):
            return text


def _best(*trials: TrialState) -> str:
    """The best of some trials of one cell."""
    known = [trial.best for trial in trials if trial.best is not None]
    place = trials[0].metric.best(known)
    return "–" if place is None else trials[0].metric.text(known[place])


def _of(trial: TrialState) -> str:
    return "" if trial.epochs is None else f" of {trial.epochs}"


def make_watch(console: Console, clock: Callable[[], float] = time.time) -> LineWatch | LiveWatch:
    """The watch that suits a console."""
    return LiveWatch(console, clock) if console.is_terminal else LineWatch(console, clock)
