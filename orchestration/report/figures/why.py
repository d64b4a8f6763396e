"""The figure "Why": diagnostics of every layer, from before the first step to the last epoch.

There is one column per norm; the norms of the same network are side by side, with no norm first.
There is one row per diagnostic, with the same colours for all networks of an architecture. In each
picture one axis has the layers, the first on top, and the other one the epochs.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Collection, Sequence

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LogNorm, Normalize
from matplotlib.figure import SubFigure
from matplotlib.ticker import MaxNLocator

from orchestration.render.figures import Picture, ReportFigure
from orchestration.render.panels import LINE, further_lines, in_lines
from orchestration.report.shown_diagnostics import (
    GRADIENT,
    RATE,
    SUPPORT,
    ShownDiagnostic,
    those_with_numbers,
)
from orchestration.tables.report_data import ReportData
from snn_norm.norms.table import label_of

_COLUMNS = 7
"""The most columns in a band, so that their names fit side by side."""

_MOST_NAMES = 8
"""The most names of layers along an axis."""


_ROWS = (RATE, SUPPORT, GRADIENT)

_HEADING_WIDTH = 15
"""The width of a row's heading, in letters."""

_TITLE, _NAMES = 85, 84
"""The most letters in a line of a band's title, and of the names of its columns together."""


def why(data: ReportData, only: Collection[int] | None = None) -> Picture | None:
    """Draw the figure; None for a sweep without diagnostics. Call in ``render.figures.style``.

    Args:
        only: the cells to draw; by default all that have diagnostics.
    """
    table, diagnosed = data.diagnostics, len(data.diagnosed)
    if only is not None:
        table, diagnosed = table[table["cell"].isin(only)], len(only)
    cells = [int(cell) for cell in dict.fromkeys(table["cell"])]
    if not cells:
        return None
    settings = data.by_setting(cells)
    bands = [(setting, band) for setting, some in settings.items() for band in _bands(data, some)]
    rows = {
        setting: those_with_numbers(_ROWS, table[table["cell"].isin(some)])
        for setting, some in settings.items()
    }
    widest = max(len(band) for _, band in bands)
    names = {cell: in_lines(label_of(data.norm(cell)), _NAMES // widest) for cell in cells}
    titles = [in_lines(setting, _TITLE) for setting, _ in bands]
    heights = [
        0.55 + 0.95 * len(rows[setting])
        + LINE * (title.count("\n") + max(0, further_lines([names[cell] for cell in band]) - 1))
        for title, (setting, band) in zip(titles, bands, strict=True)
    ]  # fmt: skip
    figure = ReportFigure(figsize=(7, sum(heights)))
    parts = figure.subfigures(len(bands), 1, squeeze=False, height_ratios=heights)[:, 0]
    scales = _scales(data, table)
    for part, title, (setting, band) in zip(parts, titles, bands, strict=True):
        part.suptitle(title, x=0.01, ha="left", fontsize="medium", fontweight="bold")
        of_network = scales[data.best["architecture"].iloc[band[0]]]
        of_band = {cell: names[cell] for cell in band}
        _band(part, table, of_band, rows[setting], of_network, widest)
    left_out = diagnosed - len(cells)
    caption = (
        "In each picture the first layer is on top, and epochs go from left to right; epoch 0 is "
        "before the first step. Dark is little: neurons that are silent, a surrogate gradient that "
        "lets nothing through, a gradient that has vanished on its way back to the layer. Medians "
        "over seeds, on one batch of training images; grey where there is no number."
    )
    if left_out > 0:
        caption += f" The first {len(cells)} of {diagnosed} networks are drawn."
    return Picture("why", "Why", caption, figure, _in_words(data, table, cells))


def _in_words(data: ReportData, table: pd.DataFrame, cells: Sequence[int]) -> str:
    """A description of the pictures: each network's diagnostics, layer by layer."""
    sentences = []
    for cell in cells:
        of_cell = table[table["cell"] == cell]
        epochs = of_cell["epoch"].min(), of_cell["epoch"].max()
        for row in those_with_numbers(_ROWS, of_cell):
            medians = of_cell.groupby(["layer", "epoch"], sort=False)[row.name].median()
            layers = [
                f"{layer} {' to '.join(_known(medians, layer, epoch) for epoch in epochs)}"
                for layer in dict.fromkeys(map(str, of_cell["layer"]))
            ]
            sentences.append(f"{data.label(cell)}, {row.heading}: {', '.join(layers)}.")
    return f"First and last epoch of each layer. {' '.join(sentences)}"


def _known(medians: pd.Series, layer: str, epoch: int) -> str:
    value = medians.get((layer, epoch), math.nan)
    return f"{value:.3g}" if math.isfinite(value) else "no number"


def _bands(data: ReportData, cells: Sequence[int]) -> list[list[int]]:
    """Divide the cells of a setting into bands; each band begins with the cell without a norm."""
    without = [cell for cell in cells if data.norm(cell) == "none"][:1]
    others = [cell for cell in cells if cell not in without]
    room = _COLUMNS - len(without)
    count = max(1, -(-len(others) // room))
    return [[*without, *part.tolist()] for part in np.array_split(np.array(others, int), count)]


def _scales(data: ReportData, table: pd.DataFrame) -> dict[str, dict[str, Normalize]]:
    architectures = table["cell"].map(data.best["architecture"].to_dict())
    return {
        str(architecture): {row.name: _scale(row, part[row.name]) for row in _ROWS}
        for architecture, part in table.groupby(architectures)
    }


def _scale(row: ShownDiagnostic, values: pd.Series) -> Normalize:
    known = values[np.isfinite(values) & (values > 0)]
    highest = float(known.max()) if len(known) else 1.0
    if not row.least:
        return Normalize(0, highest)
    lowest = max(row.least, float(known.min())) if len(known) else row.least
    decades = math.floor(math.log10(lowest)), math.ceil(math.log10(highest))
    return LogNorm(10.0 ** min(decades[0], decades[1] - 1), 10.0 ** decades[1], clip=True)


def _band(
    part: SubFigure,
    table: pd.DataFrame,
    names: dict[int, str],
    rows: Sequence[ShownDiagnostic],
    scales: dict[str, Normalize],
    widest: int,
) -> None:
    """Draw a band, with columns as wide as those of the widest band."""
    grid = part.subplots(len(rows), widest, squeeze=False, sharex=True)
    colors = colormaps["viridis"].with_extremes(bad="#cccccc")
    for column, (cell, name) in enumerate(names.items()):
        of_cell = table[table["cell"] == cell]
        for row, axes in zip(rows, grid[:, column], strict=True):
            _picture(axes, of_cell, row.name, scales[row.name], colors)
            axes.tick_params(labelleft=column == 0, labelbottom=row is rows[-1])
        size = "small" if widest < _COLUMNS else "x-small"
        grid[0, column].set_title(name, fontsize=size, loc="center")
        grid[-1, column].set_xlabel("epoch", fontsize="small")
    for number, row in enumerate(rows):
        grid[number, 0].set_ylabel(textwrap.fill(row.heading, _HEADING_WIDTH), fontsize="small")
        image = grid[number, 0].images[0]
        extend = "min" if row.least else "neither"
        bar = part.colorbar(image, ax=list(grid[number, :]), extend=extend, aspect=8, pad=0.01)
        bar.ax.tick_params(labelsize="x-small")
        bar.outline.set_visible(False)
    for axes in grid[:, len(names) :].flat:
        axes.set_axis_off()


def _picture(
    axes: Axes, of_cell: pd.DataFrame, diagnostic: str, scale: Normalize, colors: Colormap
) -> None:
    """Draw a diagnostic of one network: layers downwards, epochs to the right."""
    layers = list(dict.fromkeys(of_cell["layer"]))
    medians = of_cell.pivot_table(
        index="layer", columns="epoch", values=diagnostic, aggfunc="median", dropna=False
    )
    epochs = range(int(of_cell["epoch"].min()), int(of_cell["epoch"].max()) + 1)
    values = medians.reindex(index=layers, columns=epochs).to_numpy(float)
    axes.imshow(
        np.ma.masked_invalid(values), norm=scale, cmap=colors, aspect="auto",
        interpolation="nearest",
        extent=(epochs[0] - 0.5, epochs[-1] + 0.5, len(layers) - 0.5, -0.5),
    )  # fmt: skip
    axes.grid(visible=False)
    step = -(-len(layers) // _MOST_NAMES)
    axes.set_yticks(range(0, len(layers), step), layers[::step], fontsize="x-small")
    axes.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    axes.tick_params(length=2, labelsize="x-small")
    for spine in axes.spines.values():
        spine.set_visible(False)
