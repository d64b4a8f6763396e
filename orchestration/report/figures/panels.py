"""How the figures of a report are laid out: panels beside each other, named rows."""

from __future__ import annotations

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

__all__ = ["MOST_PANELS", "MOST_ROWS", "name_rows", "panel_grid", "those_left_out"]

MOST_PANELS, MOST_ROWS = 24, 60


def panel_grid(
    titles: Sequence[str], xlabel: str, ylabel: str, *, tall: bool = False
) -> tuple[Figure, list[Axes]]:
    """A panel a title, at most three beside each other."""
    count = min(len(titles), MOST_PANELS)
    columns = min(count, 3)
    rows = math.ceil(count / columns)
    height = 3.8 if tall else 2.1 if columns > 2 else 2.6
    figure = Figure(figsize=(7 if columns > 1 else 4.6, 0.5 + height * rows))
    grid = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    panels = list(grid.flat)
    for axes in panels[count:]:
        axes.remove()
    for number, (axes, title) in enumerate(zip(panels, titles, strict=False)):
        axes.set_title(title, fontsize="small" if columns > 2 else "medium", wrap=True)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if number % columns == 0:
            axes.set_ylabel(ylabel)
        if number + columns >= count:
            axes.set_xlabel(xlabel)
            axes.tick_params(labelbottom=True)
    return figure, panels[:count]


def name_rows(axes: Axes, labels: Sequence[str]) -> None:
    """Name the rows of a figure, the first on top."""
    axes.set_yticks(range(len(labels)), labels)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def those_left_out(count: int, most: int = MOST_ROWS) -> str:
    """A sentence on those that are not drawn; empty where all are."""
    return f" The first {most} of {count} are drawn." if count > most else ""
