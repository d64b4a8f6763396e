"""The figures of a search: best against budget, which keys matter, and every setting tried."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.lines import Line2D

from orchestration.render.figures import Picture
from orchestration.render.panels import (
    MOST_PANELS,
    axis_unit,
    in_lines,
    legend_below,
    panel_grid,
    those_left_out,
)
from orchestration.render.table import unit_of
from orchestration.results.effects.searching import SETTING
from orchestration.sweep.dimension import Dimension
from orchestration.tables.report_data import ReportData

_LETTERS = 24
"""The most letters in a line below an axis."""


def best_against_budget(data: ReportData) -> Picture | None:
    """Draw a panel for each network, and a line for each of its norms; None without a search."""
    if not data.sweep.has_search:
        return None
    curves = data.sweep.search_best(numbered=True)
    if curves.empty:
        return None
    metric = data.sweep.searched_by
    panels_of = data.by_setting(curves["cell"].unique().tolist())
    shown = f"expected best {metric.words}{axis_unit(metric)}"
    figure, panels = panel_grid(list(panels_of), "settings tried", shown, tall=True)
    names: dict[str, Line2D] = {}
    for axes, cells in zip(panels, panels_of.values(), strict=False):
        for cell in cells:
            curve = curves[curves["cell"] == cell]
            norm = data.norm(cell)
            style = data.style(norm)
            n = curve["n"].to_numpy(float)
            low, value, high = (
                metric.scale * curve[name].to_numpy(float)
                for name in ("ci_low", "expected_best", "ci_high")
            )
            axes.fill_between(n, low, high, color=style.color, alpha=0.15, linewidth=0)
            (line,) = axes.plot(
                n, value, color=style.color, linestyle=style.line, marker=style.marker,
                markersize=3, label=data.display_name(norm),
            )  # fmt: skip
            names.setdefault(norm, line)
    legend_below(figure, list(names.values()))
    caption = (
        "The score of the best of the first n settings, of which later ones depend on earlier ones."
        if data.sweep.is_adaptive
        else "The score that the best of n settings has on average, had only n been tried, and its "
        "95 % bootstrap interval over settings."
    ) + (
        " Scores are of the data that chose the settings, and of pruned settings what they had "
        "reached."
    )
    caption += those_left_out(len(panels_of), MOST_PANELS)
    return Picture("best-against-budget", "Best against budget", caption, figure)


def importance(data: ReportData) -> Picture | None:
    """Draw how much each key matters: a panel for each network, and a row for each key.

    None without a search that has tried enough settings.
    """
    if not data.sweep.has_search:
        return None
    table = data.sweep.search_importance(numbered=True)
    if table.empty:
        return None
    panels_of = data.by_setting(table["cell"].unique().tolist())
    keys = list(dict.fromkeys(table["key"]))
    figure, panels = panel_grid(list(panels_of), "share of the variance (%)", "", tall=True)
    names: dict[str, Line2D] = {}
    for axes, cells in zip(panels, panels_of.values(), strict=False):
        axes.set_yticks(range(len(keys)), keys)
        axes.set_ylim(len(keys) - 0.5, -0.5)
        for place, cell in enumerate(cells):
            norm = data.norm(cell)
            style = data.style(norm)
            rows = table[table["cell"] == cell]
            shift = 0.6 * ((place + 0.5) / len(cells) - 0.5)
            heights = [keys.index(key) + shift for key in rows["key"]]
            low, share, high = (
                100 * rows[name].to_numpy(float) for name in ("ci_low", "importance", "ci_high")
            )
            axes.hlines(heights, low, high, color=style.color, linewidth=1)
            (line,) = axes.plot(
                share, heights, color=style.color, linestyle="", marker=style.marker,
                markersize=4, label=data.display_name(norm),
            )  # fmt: skip
            names.setdefault(norm, line)
    legend_below(figure, list(names.values()))
    caption = (
        "The share of the score's variance over the space that is due to each key alone "
        "(functional ANOVA on a random forest), and its 90 % bootstrap interval over settings. "
        "What is due to several keys together is not shown. Pruned settings count with the score "
        "that they had reached."
    )
    caption += those_left_out(len(panels_of), MOST_PANELS)
    return Picture("search-importance", "Which settings matter", caption, figure)


def parallel_coordinates(data: ReportData) -> Picture | None:
    """Draw every setting tried as a line, a panel for each cell; None without a score."""
    if not data.sweep.has_search:
        return None
    metric, dimensions = data.sweep.searched_by, _all_dimensions(data)
    table = data.sweep.search(numbered=True)
    table = table[table[metric.best_name].notna()]
    if table.empty:
        return None
    cells = table["cell"].unique().tolist()
    scores = metric.sign * table[metric.best_name]
    worst, spread = float(scores.min()), float(np.ptp(scores)) or 1.0
    figure, panels = panel_grid([data.label(cell) for cell in cells], "", "", tall=True)
    figure.set_figheight(figure.get_figheight() + 0.6)
    ends = [metric.number(metric.sign * (worst + spread * end)) for end in (0, 1)]
    names = [*map(_axis_name, dimensions), f"score{unit_of(metric)}\n{ends[0]} – {ends[1]}"]
    for axes, cell in zip(panels, cells, strict=False):
        settings = table[table["cell"] == cell]
        settings = settings.sort_values(metric.best_name, key=lambda values: metric.sign * values)
        for row in settings.to_dict("records"):
            share = (metric.sign * row[metric.best_name] - worst) / spread
            heights = np.array([*(_height(axis, row[axis.key]) for axis in dimensions), share])
            (places,) = np.isfinite(heights).nonzero()
            best = row[SETTING] == settings[SETTING].iloc[-1]
            axes.plot(
                places, heights[places], color=mpl.colormaps["viridis"](0.95 * share),
                linewidth=2.5 if best else 0.8, alpha=1 if best else 0.7,
            )  # fmt: skip
        axes.set_xticks(range(len(names)), names, rotation=90, fontsize="x-small")
        axes.set_yticks([])
        axes.set_ylim(-0.05, 1.05)
    caption = (
        f"Each line is a setting, from its value of each key to its score ({metric.words}, of the "
        "best epoch on held-out data); the brighter, the better, and the best of each cell is "
        "thick. It passes by the keys that its network lacks. Below each key are the ends of its "
        "range, the lower one first, or its values from the bottom up."
    )
    caption += those_left_out(len(cells), MOST_PANELS)
    return Picture("parallel-coordinates", "Settings tried", caption, figure)


def _all_dimensions(data: ReportData) -> list[Dimension]:
    """The dimensions that any cell has; a list has the values that any cell can have."""
    found: dict[str, Dimension] = {}
    for of_cell in data.sweep.dimensions:
        for key, dimension in of_cell.items():
            known = found.get(key, dimension).values
            values = tuple(dict.fromkeys((*known, *dimension.values)))
            found[key] = replace(dimension, values=values)
    return list(found.values())


def _height(dimension: Dimension, value: Any) -> float:
    """Where a value lies on its axis, from 0 to 1; NaN if the setting lacks the key."""
    if pd.isna(value):
        return float("nan")
    if not dimension.values:
        return dimension.place(value)
    place: int = dimension.code(value)
    return (place + 0.5) / len(dimension.values)


def _axis_name(dimension: Dimension) -> str:
    if dimension.values:
        return f"{dimension.key}\n{in_lines(', '.join(map(str, dimension.values)), _LETTERS)}"
    return f"{dimension.key}\n{dimension.low:g} – {dimension.high:g}"
