"""Diagnostics of every layer by epoch, as strips of colour with their values as titles. Pure.

As the report's figure "Why", for the cells whose curves are drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import pandas as pd
from markupsafe import Markup

from orchestration.page.drawing.grid import LEVELS
from orchestration.page.drawing.state import Cell, Grid
from orchestration.page.drawing.text import shown
from orchestration.report.shown_diagnostics import (
    GRADIENT,
    RATE,
    SILENT,
    SUPPORT,
    ShownDiagnostic,
    those_with_numbers,
)

_SIDE, _NAMES = 11, 70
_MOST_EPOCHS, _MOST_LAYERS = 16, 40


_DIAGNOSTICS = (RATE, SILENT, SUPPORT, GRADIENT)
DIAGNOSED = tuple(f"{diagnostic.name}." for diagnostic in _DIAGNOSTICS)
"""What the names of the metrics begin with."""


def medians_of(table: pd.DataFrame) -> pd.DataFrame:
    """Medians of ``Results.diagnostics`` over seeds, by cell, layer (in their order) and epoch."""
    names = [diagnostic.name for diagnostic in _DIAGNOSTICS]
    groups = table.groupby(["cell", "layer", "epoch"], sort=False)
    return groups[names].median().reset_index()


def strips(grid: Grid, medians: pd.DataFrame) -> list[tuple[str, Markup]]:
    """One table per setting, with its title; norms are rows and diagnostics are columns."""
    known = set(medians["cell"])
    tables = []
    for cells in grid.drawn():
        if some := [cell for cell in cells if cell.number in known]:
            of_setting = medians[medians["cell"].isin([cell.number for cell in some])]
            tables.append((shown(grid.setting(some[0])) or "all", _table(grid, some, of_setting)))
    return tables


def _table(grid: Grid, cells: Sequence[Cell], medians: pd.DataFrame) -> Markup:
    columns = [
        (diagnostic, _scale(diagnostic, medians[diagnostic.name]))
        for diagnostic in those_with_numbers(_DIAGNOSTICS, medians)
    ]
    steps = Markup("").join(
        Markup('<span class="g{}"></span>').format(level) for level in range(LEVELS)
    )
    heads = Markup("").join(
        Markup('<th scope="col">{}<br><small class="scale">{:.2g} {} {:.2g}</small></th>').format(
            diagnostic.heading, scale.low, steps, scale.high
        )
        for diagnostic, scale in columns
    )
    rows = []
    for cell in cells:
        name, of_cell = shown(grid.name(cell), 40), medians[medians["cell"] == cell.number]
        drawn = Markup("").join(
            Markup("<td>{}</td>").format(
                _strip(name, of_cell, diagnostic, scale, named=diagnostic is columns[0][0])
            )
            for diagnostic, scale in columns
        )
        rows.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(name, drawn))
    return Markup(
        '<table class="strips"><thead><tr><th scope="col">{}</th>{}</tr></thead><tbody>{}</tbody>'
        "</table>"
    ).format(grid.series, heads, Markup("").join(rows))


@dataclass(frozen=True)
class _Scale:
    """The values of the palest and the deepest colour.

    Args:
        part: the position of a value: 0 at ``low``, 1 at ``high``.
    """

    low: float
    high: float
    part: Callable[[float], float]


def _scale(diagnostic: ShownDiagnostic, values: pd.Series) -> _Scale:
    known = [value for value in values if math.isfinite(value) and value > 0]
    high = max(known, default=1.0)
    if not diagnostic.least:
        return _Scale(0.0, high, lambda value: value / high)
    low = min(max(diagnostic.least, min(known, default=diagnostic.least)), high / 10)
    span = math.log(high / low)
    return _Scale(low, high, lambda value: math.log(value / low) / span if value > 0 else 0.0)


def _strip(
    name: str, of_cell: pd.DataFrame, diagnostic: ShownDiagnostic, scale: _Scale, *, named: bool
) -> Markup:
    """One row per layer, the first on top, and one column per epoch; some, if there are many."""
    values = of_cell.pivot(index="layer", columns="epoch", values=diagnostic.name)
    layers = _some([str(layer) for layer in dict.fromkeys(of_cell["layer"])], _MOST_LAYERS)
    epochs = _some(sorted(int(epoch) for epoch in values.columns), _MOST_EPOCHS)
    left = _NAMES if named else 0
    parts, words = [], []
    for row, layer in enumerate(layers):
        if named:
            parts.append(
                Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(
                    left - 4, _SIDE * row + 9, shown(layer, 12)
                )
            )
        of_layer = [float(value) for value in values.loc[[layer], epochs].to_numpy(float)[0]]
        parts += [
            Markup(
                '<rect x="{}" y="{}" width="{}" height="{}" class="{}"><title>{}</title></rect>'
            ).format(
                left + _SIDE * column, _SIDE * row, _SIDE, _SIDE, _shade(value, scale),
                f"{name}, {shown(layer, 40)}, epoch {epoch}: {_number(value)}",
            )
            for column, (epoch, value) in enumerate(zip(epochs, of_layer, strict=True))
        ]  # fmt: skip
        words.append(f"{shown(layer, 40)} {_number(of_layer[0])} to {_number(of_layer[-1])}")
    between = f"epoch {epochs[0]} to {epochs[-1]}" if len(epochs) > 1 else f"epoch {epochs[0]}"
    return Markup('<svg width="{}" height="{}" role="img" aria-label="{}">{}</svg>').format(
        left + _SIDE * len(epochs),
        _SIDE * len(layers),
        f"{name}, {diagnostic.heading}, {between}: {', '.join(words)}",
        Markup("").join(parts),
    )


def _shade(value: float, scale: _Scale) -> str:
    if not math.isfinite(value):
        return "unknown"
    return f"g{max(0, min(LEVELS - 1, int(scale.part(value) * LEVELS)))}"


def _number(value: float) -> str:
    return f"{value:.3g}" if math.isfinite(value) else "no number"


_T = TypeVar("_T")


def _some(values: Sequence[_T], most: int) -> list[_T]:
    """The first and the last value, and evenly spaced ones between them."""
    count = min(len(values), most)
    last = max(count - 1, 1)
    return [values[round(place * (len(values) - 1) / last)] for place in range(count)]
