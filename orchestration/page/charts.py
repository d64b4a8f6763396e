"""Curves by cell as SVG: the mean of the seeds, their range, the numbers on hover. Pure.

No attribute ``style`` in it, which the page's own rules forbid; sizes are a viewBox's units.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from markupsafe import Markup, escape

from orchestration.page.state import Cell
from orchestration.page.text import shown
from orchestration.report.looks import COLORS, Look, look_of
from snn_norm.norms.table import label_of

__all__ = ["Curve", "chart", "curves_of", "key"]

_WIDTH, _HEIGHT = 320.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 34.0, 8.0, 8.0, 24.0
_LINES = {"-": "", "--": "5 3", ":": "1.5 2.5", "-.": "6 2 1.5 2"}


@dataclass(frozen=True)
class Curve:
    """The accuracies of a cell, in percent.

    Args:
        norm: of the cell.
        points: epoch, mean, smallest and largest of the seeds, and how many there are.
    """

    norm: str
    points: list[tuple[int, float, float, float, int]]


def curves_of(cells: Sequence[Cell], values: pd.DataFrame) -> list[Curve]:
    """The curves of these cells.

    Args:
        cells: of one setting.
        values: a row a trial and epoch: ``cell``, ``epoch``, ``value`` (a fraction).
    """
    curves = []
    for cell in cells:
        of_cell = values[(values["cell"] == cell.number) & values["value"].notna()]
        found = of_cell.groupby("epoch")["value"].agg(["mean", "min", "max", "size"])
        points = [
            (int(epoch), 100 * mean, 100 * low, 100 * high, int(n))
            for epoch, mean, low, high, n in found.itertuples()
        ]
        curves.append(Curve(cell.values.get("norm", ""), points))
    return [curve for curve in curves if curve.points]


def chart(title: str, curves: Sequence[Curve], norms: list[str]) -> Markup:
    """One panel: a line a norm.

    Args:
        title: what the panel is of.
        curves: with points.
        norms: of the whole sweep, which decide on colours.
    """
    last = max(point[0] for curve in curves for point in curve.points)
    low = 10 * math.floor(min(point[2] for curve in curves for point in curve.points) / 10)
    low = min(low, 90)

    def x(epoch: float) -> float:
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * (epoch - 1) / max(1, last - 1)

    def y(value: float) -> float:
        return _TOP + (_HEIGHT - _TOP - _BOTTOM) * (100 - value) / (100 - low)

    parts = [_frame(x, y, low, last)]
    for curve in curves:
        look, label = look_of(curve.norm, norms), shown(label_of(curve.norm), 40)
        color = _color(look)
        if len(curve.points) > 1:
            upper = [f"{x(e):.1f},{y(high):.1f}" for e, _, _, high, _ in curve.points]
            lower = [f"{x(e):.1f},{y(low_):.1f}" for e, _, low_, _, _ in reversed(curve.points)]
            ring = " ".join([*upper, *lower])
            parts.append(Markup('<polygon points="{}" fill="{}" fill-opacity=".14"/>').format(
                ring, color))  # fmt: skip
        line = " ".join(f"{x(e):.1f},{y(mean):.1f}" for e, mean, *_ in curve.points)
        parts.append(
            Markup('<polyline points="{}" fill="none" stroke="{}" stroke-width="1.8"{}/>').format(
                line, color, _dashes(look)
            )
        )
        parts += [
            Markup(
                '<circle cx="{:.1f}" cy="{:.1f}" r="{}" fill="{}"><title>{}</title></circle>'
            ).format(x(e), y(mean), 3 if len(curve.points) == 1 else 2, color,
                     f"{label}, epoch {e}: {mean:.2f} % "
                     f"({lo:.2f} to {hi:.2f}, {n} seed{'s' if n > 1 else ''})")
            for e, mean, lo, hi, n in curve.points
        ]  # fmt: skip
    ends = ", ".join(f"{shown(label_of(c.norm), 40)} {c.points[-1][1]:.2f} %" for c in curves)
    return Markup(
        '<figure><figcaption>{}</figcaption><svg viewBox="0 0 {:g} {:g}" role="img" '
        'aria-label="{}">{}</svg></figure>'
    ).format(title, _WIDTH, _HEIGHT, f"{title}, in the last epoch: {ends}", Markup("").join(parts))


def key(norms: Sequence[str]) -> Markup:
    """Which line is which norm's."""
    entries = []
    for norm in norms:
        look = look_of(norm, list(norms))
        entries.append(
            Markup(
                '<li><svg viewBox="0 0 30 8" width="30" height="8" aria-hidden="true">'
                '<line x1="0" y1="4" x2="30" y2="4" stroke="{}" stroke-width="2.4"{}/></svg>'
                " {}</li>"
            ).format(_color(look), _dashes(look), shown(label_of(norm)))
        )
    return Markup('<ul class="key">{}</ul>').format(Markup("").join(entries))


def _frame(x, y, low: int, last: int) -> Markup:  # type: ignore[no-untyped-def]
    """Axes with few numbers."""
    step = 10 if low >= 60 else 20
    marks = [
        Markup(
            '<line class="rule" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>'
            '<text x="{}" y="{:.1f}" text-anchor="end">{}</text>'
        ).format(_LEFT, _WIDTH - _RIGHT, y(v), y(v), _LEFT - 5, y(v) + 3.5, v)
        for v in range(low if low % step == 0 else low + step - low % step, 101, step)
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


def _color(look: Look) -> str:
    return "currentColor" if look.hex == COLORS[0] else look.hex


def _dashes(look: Look) -> Markup:
    line = look.line
    dashes = _LINES[line] if isinstance(line, str) else " ".join(f"{2 * d:g}" for d in line[1])
    return Markup(' stroke-dasharray="{}"').format(escape(dashes)) if dashes else Markup("")
