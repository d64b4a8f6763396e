"""The critical-difference figure: mean ranks of norms, and bars over those that do not differ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from orchestration.render.figures import Picture, ReportFigure
from orchestration.render.panels import LINE, in_lines, inches_beyond
from orchestration.render.series_style import NETWORKS, SeriesStyle, style_of
from orchestration.render.table import as_text, p_value
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables import mean_ranks
from orchestration.tables.report_data import ReportData
from snn_norm.norms.table import label_of

_MOST_PANELS = 8
_UNIT = 0.25
"""The inches between two labels."""

_TITLE, _NAME_WITH_ROOM = 85, 19
"""The most letters in a line of a title, and of a norm's name that fits beside the usual scale."""

_SIDE, _SIDE_INCHES = 0.42, 1.6
"""The room for labels beside the scale: its share of the scale, and its usual width in inches."""


def critical_differences(data: ReportData) -> Picture | None:
    """Mean ranks of the norms, one panel per setting; None if no setting has many norms."""
    ranks, norms = mean_ranks.TABLE.of(data), data.norms
    if ranks is None:
        return None
    setting = [str(name) for name in ranks.columns[: ranks.columns.get_loc("norm")]]
    panels = [group for _, group in ranks.groupby(setting, dropna=False, sort=False)]
    drawn = panels[:_MOST_PANELS]
    titles = [in_lines(_title(group.iloc[0], setting), _TITLE) for group in drawn]
    # In lines: a panel's title and scale, its bars and its labels.
    heights = [
        2.6 + 0.5 * len(_bars(group)) + (len(group) + 1) // 2 + LINE / _UNIT * title.count("\n")
        for group, title in zip(drawn, titles, strict=True)
    ]
    beyond = inches_beyond([label_of(norm) for norm in norms], _NAME_WITH_ROOM)
    figure = ReportFigure(figsize=(7 + 2 * beyond, 0.5 + _UNIT * sum(heights)))
    grid = figure.subplots(len(drawn), squeeze=False, height_ratios=heights)
    for axes, group, title in zip(grid.flat, drawn, titles, strict=True):
        _panel(axes, group, norms, _SIDE * (1 + beyond / _SIDE_INCHES) * len(group))
        axes.set_title(title, pad=10)
    caption = (
        "Mean rank of each norm over seeds, the best on the left. A bar joins norms that do not "
        "differ: no paired t-test between any two of them, corrected by Holm for all tests of the "
        "sweep, reaches p ≤ 0.05. With few seeds that says little. Two that no bar joins may not "
        "differ either, where others between them do: the table of differences has each pair. "
    ) + remark(ranks[SELECTED_ON])
    if len(panels) > _MOST_PANELS:
        caption += f" The first {_MOST_PANELS} of {len(panels)} settings are drawn."
    return Picture("critical-difference", "Mean ranks", caption, figure)


def _bars(group: pd.DataFrame) -> list[tuple[float, float]]:
    """The first and last mean rank of each group that has several norms."""
    ends: dict[str, list[float]] = {}
    for rank, letters in zip(group["mean_rank"], group["groups"], strict=True):
        for letter in letters.split():
            ends.setdefault(letter, []).append(rank)
    return [(min(ranks), max(ranks)) for ranks in ends.values() if len(ranks) > 1]


def _title(row: pd.Series[Any], setting: Sequence[str]) -> str:
    network = NETWORKS.get(row["architecture"], as_text(row["architecture"]))
    others = [axis for axis in setting if axis != "architecture" and not pd.isna(row[axis])]
    words = ", ".join([network, *(f"{axis} {as_text(row[axis])}" for axis in others)])
    return f"{words}: {row['n_seeds']} seeds, Friedman p {_compared(row['friedman_p'])}"


def _compared(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _panel(axes: Axes, group: pd.DataFrame, norms: list[str], side: float) -> None:
    """Draw the scale, the bars below it, and below them the labels, half of them on each side."""
    count, bars = len(group), _bars(group)
    depth = 0.5 * len(bars)
    axes.set_xlim(1 - side, count + side)
    axes.set_ylim(depth + 0.6 + (count + 1) // 2, -0.4)
    axes.axis("off")
    axes.plot([1, count], [0, 0], color="#222222", linewidth=0.8)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, -0.18], color="#222222", linewidth=0.8)
        axes.annotate(str(rank), (rank, -0.25), ha="center", va="bottom", fontsize="small")
    for line, (first, last) in enumerate(bars, start=1):
        ends = [first - 0.05, last + 0.05]
        axes.plot(ends, [0.5 * line] * 2, color="#222222", linewidth=3.5, solid_capstyle="butt")
    half = (count + 1) // 2
    for place, row in enumerate(group.to_dict("records")):
        is_left = place < half
        height = depth + 0.7 + (place if is_left else count - 1 - place)
        edge = 0.85 if is_left else count + 0.15
        _label(axes, row, style_of(row["norm"], norms), height, edge)


def _label(axes: Axes, row: dict[Any, Any], style: SeriesStyle, height: float, edge: float) -> None:
    rank, is_left = row["mean_rank"], edge < 1
    axes.plot([rank, rank, edge], [0, height, height], color=style.color, linewidth=0.9, zorder=1)
    axes.plot(rank, 0, style.marker, color=style.color, markersize=5, zorder=3)
    text = (
        f"{label_of(row['norm'])}  {rank:.2f}"
        if is_left
        else f"{rank:.2f}  {label_of(row['norm'])}"
    )
    axes.annotate(
        text, (edge, height), (-4 if is_left else 4, 0), textcoords="offset points",
        ha="right" if is_left else "left", va="center",
    )  # fmt: skip
