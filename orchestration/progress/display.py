"""Displays the progress of a sweep: as a live table on a terminal, elsewhere as lines of text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from orchestration.model.metric import Metric
from orchestration.model.status import TrialStatus
from orchestration.model.trial import Trial
from orchestration.progress import events
from orchestration.progress.state import Progress


class LineDisplay:
    """Prints one line for each event, for logs and pipes."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._clock = clock
        self._progress = Progress(clock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(self, event: events.Event) -> None:
        """Print one event."""
        self._progress.update(event)
        match event:
            case events.Planned(plan):
                self._print(
                    f"{len(plan.run)} trials to run, {len(plan.resume)} to resume, "
                    f"{len(plan.reuse)} finished before"
                    + (f", {len(plan.copy)} in other sweeps" if plan.copy else "")
                )
            case events.Added(plan):
                labels = ", ".join(trial.label for trial in plan.to_train)
                self._print(f"further trials: {labels}")
            case events.Started(label):
                self._print(f"{label}: started")
            case events.EpochDone(label, report):
                self._print_epoch(label, report)
            case events.DecisionProgress(_, words):
                self._print(words)
            case _:
                self._print(_in_words(event))

    def _print_epoch(self, label: str, report: Mapping[str, Any]) -> None:
        trial, status = self._progress.trials[label], self._progress.statuses[label]
        if "epoch" in report:
            of_epochs = "" if trial.config.epochs is None else f" of {trial.config.epochs}"
            self._print(
                f"{label}: epoch {status.epoch}{of_epochs}, {trial.shown_metric.words} "
                f"{trial.shown_metric.text(report['value'])}, {status.epoch_seconds:.1f} s"
            )
        if report["outcome"] is not None:
            self._print(f"{label}: {status.state}, best {_best(trial.shown_metric, [status])}")
            self._print(self._progress.summary())

    def _print(self, text: str) -> None:
        now = time.strftime("%H:%M:%S", time.localtime(self._clock()))
        self._console.print(f"[{now}] {text}", soft_wrap=True)


class LiveDisplay:
    """Keeps a table up to date on a terminal, with one row for each cell and its seeds."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.time) -> None:
        self._console = console
        self._progress = Progress(clock)
        self._live = Live(console=console, get_renderable=self.table, refresh_per_second=4)

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

    def __call__(self, event: events.Event) -> None:
        """Show one event in the table or above it."""
        self._progress.update(event)
        if isinstance(event, events.Retried | events.Failed | events.Supervised | events.Note):
            self._console.print(_in_words(event))

    def table(self) -> Group:
        """The table as it is now, with the summary below it."""
        cells: dict[str, list[tuple[Trial, TrialStatus]]] = {}
        for label, trial in self._progress.trials.items():
            status = self._progress.statuses[label]
            cells.setdefault(_row(trial), []).append((trial, status))
        decided, words = self._progress.decisions.decided, self._progress.decisions.words
        table = Table(box=None, pad_edge=False)
        table.add_column("cell", style="bold")
        table.add_column("best so far")
        if decided:
            table.add_column("decided")
        table.add_column("seeds")
        # If there are more cells than lines, those with running trials are shown first.
        shown = sorted(
            cells, key=lambda cell: not any(s.state == "running" for _, s in cells[cell])
        )
        shown = shown[: max(4, self._console.height - 4)]
        for cell in (cell for cell in cells if cell in shown):
            trials = cells[cell]
            best = _best(trials[0][0].shown_metric, [status for _, status in trials])
            columns = [decided.get(cell, "–")] if decided else []
            seeds = Text("  ").join(_seed(*pair) for pair in trials)
            table.add_row(cell, best, *columns, seeds)
        if len(shown) < len(cells):
            table.add_row(f"… {len(cells) - len(shown)} more")
        if not self._progress.trials:  # the sweep is not planned yet; notes say what is going on
            return Group()
        lines = [Text(line, style="dim") for line in (self._progress.summary(), words) if line]
        return Group(table, *lines)


_STYLES = {
    "waiting": "dim",
    "running": "cyan",
    "paused": "dim",
    "completed": "green",
    "reused": "green",
    "collapsed": "yellow",
    "diverged": "yellow",
    "failed": "bold red",
}


def _row(trial: Trial) -> str:
    """The name of a trial's row. A search tries settings by a metric of its own."""
    if trial.chosen_by is None:
        return trial.cell_label
    return f"{trial.cell_label}, {trial.chosen_by.words}"


def _seed(trial: Trial, status: TrialStatus) -> Text:
    epochs = trial.config.epochs
    running = f"{status.epoch}/{epochs}" if epochs else f"epoch {status.epoch}"
    state = running if status.state == "running" else status.state
    best = "" if status.best is None else f" {trial.shown_metric.text(status.best)}"
    return Text(f"{trial.config.seed}: {state}{best}", style=_STYLES[status.state])


def _in_words(event: events.Retried | events.Failed | events.Supervised | events.Note) -> str:
    match event:
        case events.Retried(label, reason):
            return f"{label}: interrupted, will be resumed: {reason}"
        case events.Failed(label, reason):
            return f"{label}: failed: {reason}"
        case events.Supervised():
            return (
                "supervised: if its driver or the cluster's head dies, the sweep resumes by itself"
            )
        case events.Note(text):
            return text


def _best(metric: Metric, statuses: Iterable[TrialStatus]) -> str:
    """The best value of some trials, in words."""
    values = [status.best for status in statuses if status.best is not None]
    index = metric.best(values)
    return "–" if index is None else metric.text(values[index])


def make_display(
    console: Console, clock: Callable[[], float] = time.time
) -> LineDisplay | LiveDisplay:
    """The display that suits a console."""
    return LiveDisplay(console, clock) if console.is_terminal else LineDisplay(console, clock)
