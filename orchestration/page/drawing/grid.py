"""The grid as HTML: one row per cell, one column per seed, and folds for further axes. Pure.

It is written by hand and not by a template: it may have ten thousand trials, and each is kept
apart, so that one that changes can be sent alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from markupsafe import escape

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.model.status import TrialStatus
from orchestration.page.drawing.pieces import Page
from orchestration.page.drawing.state import Cell, Grid
from orchestration.page.drawing.text import shown
from orchestration.render.table import NO_NUMBER, unit_of

LEVELS = 10
"""The number of colours of the scale."""

_MOST_ROWS = 40
"""A table with more rows is folded by one more axis."""

_MOST_COLUMNS = 24
"""With more seeds, each cell has its seeds in one column, as a folded list."""

_STATES = ("running", "waiting", "collapsed", "diverged", "failed", "stopped", "missing")
"""The states whose trials the summary of a fold counts."""


def grid_page(
    grid: Grid, trial_url: Callable[[str], str], retried: Mapping[str, int] = MappingProxyType({})
) -> Page:
    """Write the grid.

    Args:
        retried: how often a run's trial was tried again after a failure of a machine.
    """
    writer = _Writer(grid, trial_url, retried)
    outer = [axis for axis in grid.axes if axis not in writer.leading]
    html = writer.rows(grid.cells, outer, "f")
    return Page({"grid": html}, writer.cells)


def interval_of(
    mean: float | None, low: float | None, high: float | None, metric: Metric = TEST_ACCURACY
) -> str:
    """A mean with half the width of its interval: ``97.31 ± 0.42``, accuracies in percent."""
    if mean is None:
        return NO_NUMBER
    if low is None or high is None:
        return metric.number(mean)
    return f"{metric.number(mean)} ± {metric.number((high - low) / 2)}"


class _Writer:
    def __init__(
        self, grid: Grid, trial_url: Callable[[str], str], retried: Mapping[str, int]
    ) -> None:
        self.grid, self.trial_url, self.retried = grid, trial_url, retried
        self.cells: dict[str, str] = {}
        never_folded = (*grid.kind.first_axes, grid.series)
        self.leading = [axis for axis in grid.axes if axis in never_folded]
        """The axes that are never folded."""
        self._decided = any(cell.verdict for cell in grid.cells)
        self._column = {seed: number for number, seed in enumerate(grid.seeds)}
        self._is_wide = len(grid.seeds) > _MOST_COLUMNS

    def rows(self, cells: Sequence[Cell], outer: Sequence[str], path: str) -> str:
        """A table of these cells; if they are many, a fold for each value of the next axis."""
        axis, *rest = outer or [""]
        groups: dict[str, list[Cell]] = {}
        for cell in cells:
            groups.setdefault(cell.values.get(axis, ""), []).append(cell)
        if not axis or len(cells) <= _MOST_ROWS:
            return self._table(cells, [*self.leading, *outer])
        if len(groups) == 1:
            return self.rows(cells, rest, path)
        return "".join(
            self._fold(axis, value, some, rest, path, number)
            for number, (value, some) in enumerate(groups.items())
        )

    def _fold(
        self, axis: str, value: str, cells: list[Cell], rest: Sequence[str], path: str, number: int
    ) -> str:
        # The first one at least, and those in which something happens.
        is_open = " open" if number == 0 or any(cell.count("running") for cell in cells) else ""
        path = f"{path}-{number}"
        name = f"{axis} {shown(value)}" if value else f"no {axis}"
        parts = [_counts(cells)]
        best = max(cells, key=self.grid.better).best
        if best is not None:
            metric = self.grid.metric
            parts.append(f"best {metric.number(best)}{unit_of(metric)}")
        words = f"<strong>{escape(name)}</strong> <span>{', '.join(parts)}</span>"
        summary = self._element("summary", f"s{path}", words)
        return f'<details id="{path}"{is_open}>{summary}{self.rows(cells, rest, path)}</details>'

    def _table(self, cells: Sequence[Cell], axes: Sequence[str]) -> str:
        axes = [axis for axis in axes if any(axis in cell.values for cell in cells)]
        alike = len({tuple(cell.values.get(axis) for axis in axes) for cell in cells}) > 1
        if alike:  # an axis with one value does not tell these cells apart
            axes = [
                a
                for a in axes
                if a == self.grid.series or len({c.values.get(a) for c in cells}) > 1
            ]
        heads = ["mean ± 95 %", "done", *(["decided"] if self._decided else [])]
        heads += ["seeds"] if self._is_wide else [f"seed {seed}" for seed in self.grid.seeds]
        head = "".join(f'<th scope="col" data-axis>{escape(shown(axis))}</th>' for axis in axes)
        head += "".join(f'<th scope="col">{text}</th>' for text in heads)
        body = "".join(self._row(cell, axes) for cell in cells)
        return (
            '<div class="scroll" role="region" aria-label="Grid of cells and seeds" tabindex="0">'
            f'<table class="grid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def _row(self, cell: Cell, axes: Sequence[str]) -> str:
        named = [self._value(axis, cell.values.get(axis)) for axis in axes]
        head = "".join(f'<th scope="row">{escape(text)}</th>' for text in named)
        seeds = self._folded(cell) if self._is_wide else self._columns(cell)
        number, title = cell.number, f' title="{escape(cell.lack)}"' if cell.lack else ""
        interval = interval_of(cell.mean, cell.low, cell.high, self.grid.metric)
        mean = self._element("td", f"m{number}", interval, f' class="mean"{title}')
        done = f"{cell.finished}/{len(cell.trials)}"
        done = self._element("td", f"d{number}", done, ' class="done"')
        verdict = ""
        if self._decided:
            words = escape(shown(cell.verdict))
            verdict = self._element("td", f"v{number}", words, ' class="verdict"')
        return f"<tr>{head}{mean}{done}{verdict}{seeds}</tr>"

    def _columns(self, cell: Cell) -> str:
        """One table cell for each seed; it is empty if this grid cell does not have the seed."""
        return "".join(
            self._trial(cell, seed, "td") if seed in cell.trials else "<td></td>"
            for seed in self.grid.seeds
        )

    def _folded(self, cell: Cell) -> str:
        """All seeds in one column."""
        name = f"w{cell.number}"
        summary = self._element("summary", name, _counts([cell]))
        trials = "".join(self._trial(cell, seed, "li") for seed in cell.trials)
        return f'<td class="seeds"><details id="f{name}">{summary}<ul>{trials}</ul></details></td>'

    def _trial(self, cell: Cell, seed: int, element: str) -> str:
        trial = cell.trials[seed]
        name = f"t{cell.number}-{self._column[seed]}"
        inner = self._words(trial, cell.epochs)
        if times := self.retried.get(trial.run_id):
            inner += " <small>retried" + (f" {times}×" if times > 1 else "") + "</small>"
        if element == "li":
            inner = f"<small>seed {seed}</small>{inner}"
        if trial.run_id:
            inner = f'<a href="{escape(self.trial_url(trial.run_id))}">{inner}</a>'
        return self._element(element, name, inner, f' class="{self._kind(trial)}"')

    def _kind(self, trial: TrialStatus) -> str:
        if trial.state != "completed" or trial.best is None:
            return trial.state
        return f"g{max(0, min(LEVELS - 1, int(self.grid.share(trial.best) * LEVELS)))}"

    def _words(self, trial: TrialStatus, epochs: int | None) -> str:
        number = "" if trial.best is None else self.grid.metric.number(trial.best)
        if trial.state == "completed":
            return number or f"no {escape(self.grid.metric.words)}"
        if trial.state == "running":
            of = "" if epochs is None else f"/{epochs}"
            return f"{number} <small>epoch {trial.epoch}{of}</small>"
        state = f"<small>{trial.state}</small>"
        return f"{number} {state}" if number else state

    def _value(self, axis: str, value: str | None) -> str:
        if value is None:
            return NO_NUMBER
        return shown(self.grid.kind.value_name(axis, value))

    def _element(self, element: str, name: str, inner: str, attributes: str = "") -> str:
        """An element that can be sent alone when it changes."""
        self.cells[name] = f'<{element} id="{name}"{attributes}>{inner}</{element}>'
        return self.cells[name]


def _counts(cells: Sequence[Cell]) -> str:
    """How many trials of these cells have finished, and how many are in each state."""
    trials = sum(len(cell.trials) for cell in cells)
    counts = {state: sum(cell.count(state) for cell in cells) for state in _STATES}
    parts = [f"{sum(cell.finished for cell in cells):,} of {trials:,} trials"]
    return ", ".join([*parts, *(f"{count} {state}" for state, count in counts.items() if count)])
