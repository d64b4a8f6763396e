"""Curves by cell as SVG: the mean and the range of the seeds, with values as titles. Pure.

It uses no attribute ``style``, because the page's Content-Security-Policy forbids it. Lengths are
in the units of the viewBox.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup, escape

from orchestration.model.metric import Metric
from orchestration.page.drawing.scale import Axis, AxisKind, axis_of
from orchestration.page.drawing.state import Cell
from orchestration.page.drawing.text import shown
from orchestration.render.series_style import SeriesStyle
from orchestration.render.table import unit_of

_WIDTH, _HEIGHT = 320.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 40.0, 8.0, 8.0, 24.0
_LINES = {"-": "", "--": "5 3", ":": "1.5 2.5", "-.": "6 2 1.5 2"}
_INFINITE = 1e300
"""MLflow records infinity as a larger number than this."""


@dataclass(frozen=True)
class Series:
    """A norm, or another compared value, which has one line in every panel."""

    label: str
    style: SeriesStyle
    value: str = ""
    """The value as the grid shows it; rows and lines with the same value are hidden together."""


@dataclass(frozen=True)
class Curve:
    """The values of a cell, in percent if they are fractions.

    Args:
        series: the cell's norm, or its other compared value.
        points: for each epoch: its number, the mean, minimum and maximum over the seeds, and the
            number of seeds.
    """

    series: str
    points: list[tuple[int, float, float, float, int]]


def curves_of(
    cells: Sequence[Cell], values: pd.DataFrame, series: str, metric: Metric
) -> list[Curve]:
    """The curves of these cells.

    Args:
        values: one row for each trial and epoch: ``cell``, ``epoch``, ``value``.
    """
    curves = []
    for cell in cells:
        of_cell = values[values["cell"] == cell.number]
        curves.append(curve_of(cell.values.get(series, ""), of_cell, metric))
    return [curve for curve in curves if curve is not None]


def curve_of(series: str, values: pd.DataFrame, metric: Metric) -> Curve | None:
    """The mean and the range of these values at each ``epoch``; None if no value is finite."""
    finite = values[values["value"].abs() < _INFINITE]
    by_epoch = finite.groupby("epoch")["value"].agg(["mean", "min", "max", "size"])
    points = [
        (int(epoch), metric.scale * mean, metric.scale * low, metric.scale * high, int(n))
        for epoch, mean, low, high, n in by_epoch.itertuples()
    ]
    return Curve(series, points) if points else None


def chart(
    title: str,
    curves: Sequence[Curve],
    series: Mapping[str, Series],
    metric: Metric,
    kind: AxisKind = "automatic",
) -> Markup:
    """A panel with one line for each norm, or for each other compared value."""
    last = max(point[0] for curve in curves for point in curve.points)
    axis = axis_of([end for curve in curves for p in curve.points for end in p[2:4]], metric, kind)

    def x(epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (epoch - 1) / max(1, last - 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (1 - axis.part(value))

    def text(value: float) -> str:
        return metric.number(value / metric.scale)

    unit, parts, ends = unit_of(metric), [_frame(x, y, axis, last)], []
    for curve in curves:
        style, label = series[curve.series].style, shown(series[curve.series].label, 40)
        drawn = []
        if len(curve.points) > 1:
            upper = [f"{x(e):.1f},{y(high):.1f}" for e, _, _, high, _ in curve.points]
            lower = [f"{x(e):.1f},{y(low_):.1f}" for e, _, low_, _, _ in reversed(curve.points)]
            ring = " ".join([*upper, *lower])
            drawn.append(Markup('<polygon points="{}" fill-opacity=".14"/>').format(ring))
        line = " ".join(f"{x(e):.1f},{y(mean):.1f}" for e, mean, *_ in curve.points)
        drawn.append(Markup('<polyline points="{}"{}/>').format(line, _dashes(style)))
        radius = 3 if len(curve.points) == 1 else 2
        drawn += [
            Markup('<circle cx="{:.1f}" cy="{:.1f}" r="{}"><title>{}</title></circle>').format(
                x(e), y(mean), radius,
                f"{label}, epoch {e}: {text(mean)}{unit} "
                f"({text(lo)} to {text(hi)}, {n} seed{'s' if n > 1 else ''})",
            )
            for e, mean, lo, hi, n in curve.points
        ]  # fmt: skip
        parts.append(
            Markup('<g class="{}" data-series="{}">{}</g>').format(
                _color(style), shown(series[curve.series].value), Markup("").join(drawn)
            )
        )
        ends.append(f"{label} {text(curve.points[-1][1])}{unit}")
    description = ", ".join(filter(None, [title, f"in the last epoch: {', '.join(ends)}"]))
    return Markup(
        '<figure><figcaption>{}</figcaption><svg viewBox="0 0 {:g} {:g}" role="img" '
        'aria-label="{}">{}</svg></figure>'
    ).format(title, _WIDTH, _HEIGHT, description, Markup("").join(parts))


def key(series: Sequence[Series]) -> Markup:
    """The legend."""
    entries = []
    for line in series:
        entries.append(
            Markup(
                '<li><svg viewBox="0 0 30 8" width="30" height="8" aria-hidden="true">'
                '<line class="{}" x1="0" y1="4" x2="30" y2="4"{}/></svg> {}</li>'
            ).format(_color(line.style), _dashes(line.style), shown(line.label))
        )
    return Markup('<ul class="key">{}</ul>').format(Markup("").join(entries))


def _frame(
    x: Callable[[float], float], y: Callable[[float], float], axis: Axis, last: int
) -> Markup:
    """The grid lines and the labels of the axes."""
    marks = [
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{:g}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, y(v), y(v), _LEFT - 5, y(v) + 3.5, v)
        for v in axis.marks
    ]
    epochs = sorted({1, last, *range(1, last, max(1, math.ceil(last / 5)))})
    marks += [
        Markup('<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>').format(
            x(e), _HEIGHT - 8, e
        )
        for e in epochs
        if e == last or last - e > last / 10
    ]
    return Markup("").join(marks)


def _color(style: SeriesStyle) -> str:
    """The CSS class of a colour; the style sheet defines it for light and for dark pages."""
    return style.color.lower()


def _dashes(style: SeriesStyle) -> Markup:
    line = style.line
    dashes = _LINES[line] if isinstance(line, str) else " ".join(f"{2 * d:g}" for d in line[1])
    return Markup(' stroke-dasharray="{}"').format(escape(dashes)) if dashes else Markup("")
