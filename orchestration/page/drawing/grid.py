"""The grid as HTML: a row a cell, a column a seed, axes beyond two as rows that fold. Pure.

Written by hand and not by a template: it may have ten thousand places, and each is kept apart, so
that one that changes can be sent alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from markupsafe import escape

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.page.drawing.pieces import Page
from orchestration.page.drawing.state import Cell, Grid, Place
from orchestration.page.drawing.text import shown
from orchestration.render.table import NO_NUMBER, unit_of
from snn_norm.norms.table import label_of

LEVELS = 10
"""Steps of the colour scale."""

_MOST_ROWS = 40
"""Beyond so many in a table, the rows fold by one more axis."""

RunUrl = Callable[[str], str]


def grid_page(
    grid: Grid, run_url: RunUrl, retried: Mapping[str, int] = MappingProxyType({})
) -> Page:
    """Write the grid.

    Args:
        grid: every trial in its place.
        run_url: gives the address of a run's page.
        retried: how often a run's trial was tried again after a fault of a machine.
    """
    writer = _Writer(grid, run_url, retried)
    outer = [axis for axis in grid.axes if axis not in writer.leading]
    html = writer.rows(grid.cells, outer, "f")
    return Page({"grid": html}, writer.cells)


def interval_of(
    mean: float | None, low: float | None, high: float | None, metric: Metric = TEST_ACCURACY
) -> str:
    """A mean with the half of its interval: ``97.31 ± 0.42``, accuracies in percent."""
    if mean is None:
        return NO_NUMBER
    if low is None or high is None:
        return metric.number(mean)
    return f"{metric.number(mean)} ± {metric.number((high - low) / 2)}"


class _Writer:
    def __init__(self, grid: Grid, run_url: RunUrl, retried: Mapping[str, int]) -> None:
        self.grid, self.run_url, self.retried = grid, run_url, retried
        self.cells: dict[str, str] = {}
        known = ("architecture", grid.series) if grid.is_ours else (grid.series,)
        self.leading = [axis for axis in known if axis in grid.axes]
        """Axes that no fold is of."""
        self._decided = any(cell.verdict for cell in grid.cells)
        self._column = {seed: number for number, seed in enumerate(grid.seeds)}

    def rows(self, cells: Sequence[Cell], outer: Sequence[str], path: str) -> str:
        """A table of these, or if they are many one a value of the next axis, folded."""
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
        finished = sum(cell.finished for cell in cells)
        trials = sum(len(cell.places) for cell in cells)
        told = [f"{finished} of {trials} trials"]
        for state in ("running", "collapsed", "diverged", "failed"):
            if count := sum(cell.count(state) for cell in cells):
                told.append(f"{count} {state}")
        best = max(cells, key=self.grid.better).best
        if best is not None:
            metric = self.grid.metric
            told.append(f"best {metric.number(best)}{unit_of(metric)}")
        summary = self._keep(
            f"s{path}",
            f'<summary id="s{path}"><strong>{escape(name)}</strong> '
            f"<span>{', '.join(told)}</span></summary>",
        )
        return f'<details id="{path}"{is_open}>{summary}{self.rows(cells, rest, path)}</details>'

    def _table(self, cells: Sequence[Cell], axes: Sequence[str]) -> str:
        axes = [axis for axis in axes if any(axis in cell.values for cell in cells)]
        alike = len({tuple(cell.values.get(axis) for axis in axes) for cell in cells}) > 1
        if alike:  # an axis with one value tells nothing apart here
            axes = [
                a
                for a in axes
                if a == self.grid.series or len({c.values.get(a) for c in cells}) > 1
            ]
        heads = [*axes, "mean ± 95 %", "done", *(["decided"] if self._decided else [])]
        heads += [f"seed {seed}" for seed in self.grid.seeds]
        head = "".join(f'<th scope="col">{escape(shown(text))}</th>' for text in heads)
        body = "".join(self._row(cell, axes) for cell in cells)
        return (
            '<div class="scroll" role="region" aria-label="Grid of cells and seeds" tabindex="0">'
            f'<table class="grid"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
        )

    def _row(self, cell: Cell, axes: Sequence[str]) -> str:
        named = [self._value(axis, cell.values.get(axis)) for axis in axes]
        head = "".join(f'<th scope="row">{escape(text)}</th>' for text in named)
        places = "".join(self._place(cell, seed) for seed in self.grid.seeds)
        number = cell.number
        mean = self._keep(
            f"m{number}",
            f'<td id="m{number}" class="mean"{_title(cell)}>'
            f"{interval_of(cell.mean, cell.low, cell.high, self.grid.metric)}</td>",
        )
        done = self._keep(
            f"d{number}", f'<td id="d{number}" class="done">{cell.finished}/{len(cell.places)}</td>'
        )
        verdict = ""
        if self._decided:
            verdict = self._keep(
                f"v{number}", f'<td id="v{number}">{escape(shown(cell.verdict))}</td>'
            )
        return f"<tr>{head}{mean}{done}{verdict}{places}</tr>"

    def _place(self, cell: Cell, seed: int) -> str:
        place = cell.places.get(seed)
        if place is None:
            return "<td></td>"
        name = f"t{cell.number}-{self._column[seed]}"
        inner = self._words(place, cell.epochs)
        if times := self.retried.get(place.run_id):
            inner += " <small>retried" + (f" {times}×" if times > 1 else "") + "</small>"
        if place.run_id:
            inner = f'<a href="{escape(self.run_url(place.run_id))}">{inner}</a>'
        kind = self._kind(place)
        return self._keep(name, f'<td id="{name}" class="{kind}">{inner}</td>')

    def _kind(self, place: Place) -> str:
        if place.state != "completed" or place.value is None:
            return place.state
        return f"g{max(0, min(LEVELS - 1, int(self.grid.share(place.value) * LEVELS)))}"

    def _words(self, place: Place, epochs: int | None) -> str:
        number = "" if place.value is None else self.grid.metric.number(place.value)
        if place.state == "completed":
            return number or f"no {escape(self.grid.metric.words)}"
        if place.state == "running":
            of = "" if epochs is None else f"/{epochs}"
            return f"{number} <small>epoch {place.epoch}{of}</small>"
        said = f"<small>{place.state}</small>"
        return f"{number} {said}" if number else said

    def _value(self, axis: str, value: str | None) -> str:
        if value is None:
            return NO_NUMBER
        return shown(label_of(value) if self.grid.is_ours and axis == "norm" else value)

    def _keep(self, name: str, html: str) -> str:
        self.cells[name] = html
        return html


def _title(cell: Cell) -> str:
    return f' title="{escape(cell.lack)}"' if cell.lack else ""
