"""The layout of a report's figures: panels beside each other, named rows, a legend below.

Names may be long, as they consist of the values of a sweep's axes. They are broken into lines, and
figures get wider and higher, by the average width of a letter.
"""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Iterable, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from orchestration.model.metric import Metric
from orchestration.render.figures import ReportFigure
from orchestration.render.series_style import SeriesStyle

MOST_PANELS, MOST_ROWS = 24, 60

_LETTERS_AN_INCH, _SMALL_LETTERS_AN_INCH = 13, 16
LINE, _SMALL_LINE = 0.15, 0.13
"""The height of a line of text, in inches."""

_TITLE = {1: 58, 2: 45, 3: 36}
"""The most letters in a line of a title, by the number of panels beside each other."""

_ROW, _ROW_WITH_ROOM = 90, 34
"""The most letters in a line of a row's name, and how many fit into a figure of usual width."""

_HANDLE = 9
"""The width of a marker in a legend and the space around it, in letters."""

_LEGEND, _LEGEND_WITH_ROOM = 90, 4
"""The most letters in a line of a legend, and how many lines fit into a figure of usual height."""


def in_lines(name: str, letters: int) -> str:
    """Break a name into lines of at most so many letters, after commas if that is enough."""
    together = re.sub(r"(?<!,) ", "\N{NO-BREAK SPACE}", name)
    parts = textwrap.wrap(together, letters, break_long_words=False, break_on_hyphens=False)
    return "\n".join(
        textwrap.fill(part.replace("\N{NO-BREAK SPACE}", " "), letters) for part in parts
    )


def panel_grid(
    titles: Sequence[str], xlabel: str, ylabel: str, *, tall: bool = False
) -> tuple[ReportFigure, list[Axes]]:
    """One panel per title, at most three beside each other."""
    count = min(len(titles), MOST_PANELS)
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    height = 3.8 if tall else 2.1 if columns > 2 else 2.6
    broken = [in_lines(title, _TITLE[columns]) for title in titles[:count]]
    ylabel = in_lines(ylabel, int((height - 0.5) * _LETTERS_AN_INCH))
    size = (7 if columns > 1 else 4.6, 0.5 + rows * (height + _SMALL_LINE * further_lines(broken)))
    figure = ReportFigure(figsize=size)
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.remove()
    for number, (axes, title) in enumerate(zip(panels, broken, strict=False)):
        axes.set_title(title, fontsize="small" if columns > 2 else "medium")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if number % columns == 0:
            axes.set_ylabel(ylabel)
        if number + columns >= count:
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def named_rows(labels: Sequence[str], columns: int = 1) -> tuple[ReportFigure, list[Axes]]:
    """Panels beside each other with the same rows, the first row on top."""
    broken = [in_lines(label, _ROW) for label in labels]
    beyond = inches_beyond(broken, _ROW_WITH_ROOM)
    height = 0.3 + LINE * further_lines(broken)
    figure = ReportFigure(figsize=(7 + beyond, 0.9 + height * len(broken)))
    panels = list(figure.subplots(ncols=columns, sharey=True, squeeze=False)[0])
    panels[0].set_yticks(range(len(broken)), broken)
    panels[0].set_ylim(len(broken) - 0.4, -0.6)
    for axes in panels:
        axes.grid(visible=False, axis="y")
        axes.tick_params(axis="y", length=0)
    return figure, panels


def legend_below(figure: Figure, handles: Sequence[Line2D], most: int = 4) -> None:
    """Add a legend below a figure that is otherwise complete; many lines make it higher."""
    labels = [in_lines(str(handle.get_label()), _LEGEND) for handle in handles]
    widths = [_longest_line([label]) + _HANDLE for label in labels]
    room = figure.get_figwidth() * _SMALL_LETTERS_AN_INCH
    columns = min(most, len(handles))
    while columns > 1 and sum(map(max, np.array_split(widths, columns))) > room:
        columns -= 1
    figure.legend(handles, labels, loc="outside lower center", ncols=columns)
    heights = [1 + label.count("\n") for label in labels]
    lines = max(map(sum, np.array_split(heights, columns)))
    beyond = LINE * max(0, lines - _LEGEND_WITH_ROOM)
    figure.set_figheight(figure.get_figheight() + beyond)


def series_handles(
    named: Iterable[tuple[str, SeriesStyle]], *, lines: bool = False
) -> list[Line2D]:
    """Entries of a legend; names with the same style (BatchNorm, BNTT) share an entry."""
    names: dict[SeriesStyle, list[str]] = {}
    for name, drawn in named:
        names.setdefault(drawn, []).append(name)
    return [
        Line2D(
            [], [], color=drawn.color, linestyle=drawn.line if lines else "none",
            marker=drawn.marker, label=", ".join(alike),
        )
        for drawn, alike in names.items()
    ]  # fmt: skip


def inches_beyond(names: Sequence[str], letters: int) -> float:
    """The inches by which the longest line of these names is wider than so many letters."""
    return max(0, _longest_line(names) - letters) / _LETTERS_AN_INCH


def _longest_line(broken: Sequence[str]) -> int:
    return max(len(line) for name in broken for line in name.splitlines())


def further_lines(broken: Sequence[str]) -> int:
    """The number of lines after the first one, of the name that has the most."""
    return max(name.count("\n") for name in broken)


def axis_unit(metric: Metric) -> str:
    """The unit of a metric, to follow its name below an axis; may be empty."""
    return " (%)" if metric.is_fraction else ""


def those_left_out(count: int, most: int = MOST_ROWS) -> str:
    """A sentence about the number that is not drawn; empty if all are."""
    return f" The first {most} of {count} are drawn." if count > most else ""
