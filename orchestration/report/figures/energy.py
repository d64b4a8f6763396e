"""The figure of accuracy against energy."""

from __future__ import annotations

import pandas as pd
from matplotlib.lines import Line2D

from orchestration.render.figures import Picture, ReportFigure
from orchestration.render.panels import legend_below, series_handles
from orchestration.render.series_style import NETWORKS, style_of
from orchestration.render.table import as_text
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.tables.energy import CAVEAT
from snn_norm.norms.table import label_of

_DECADE = 10
"""The least ratio of energies for a logarithmic axis, which has too few ticks below it."""


def energy_figure(energy: pd.DataFrame, norms: list[str]) -> Picture:
    """Draw a marker per row of ``Results.energy``. Call in ``render.figures.style``."""
    figure = ReportFigure(figsize=(7, 4))
    axes = figure.subplots()
    for cell in energy.to_dict("records"):
        drawn = style_of(str(cell["norm"]), norms)
        low, high = cell["energy_ci_low"], cell["energy_ci_high"]
        if not pd.isna(low):
            ends = [max(low, cell["energy_nj"] / 10), high]
            axes.plot(ends, [100 * cell["accuracy"]] * 2, color=drawn.color, linewidth=1, alpha=0.7)
        face = "#ffffff" if cell["architecture"] == "ann" else drawn.color
        axes.plot(
            cell["energy_nj"], 100 * cell["accuracy"], drawn.marker, color=drawn.color,
            markersize=7, markerfacecolor=face,
        )  # fmt: skip
    if energy["energy_nj"].max() > _DECADE * energy["energy_nj"].min():
        axes.set_xscale("log")
    axes.set_xlabel("energy, estimate (nJ an image)")
    axes.set_ylabel("test accuracy, mean (%)")
    drawn_norms = set(map(as_text, energy["norm"]))
    named = ((label_of(norm), style_of(norm, norms)) for norm in norms if norm in drawn_norms)
    legend_below(figure, [*series_handles(named), *_networks(energy)])
    caption = (
        "Each marker is a cell: mean over seeds of accuracy and energy in the best epoch; the line "
        f"is the 95 % t-interval of the energy. {CAVEAT} "
    ) + remark(energy[SELECTED_ON])
    return Picture("accuracy-by-energy", "Accuracy against energy", caption, figure)


def _networks(energy: pd.DataFrame) -> list[Line2D]:
    """The entries for filled and hollow markers, if there are both."""
    if energy["architecture"].nunique() < 2:
        return []
    return [
        Line2D([], [], color="#222222", marker="o", linestyle="none",
               markerfacecolor=face, label=NETWORKS[network])
        for network, face in (("ann", "#ffffff"), ("snn", "#222222"))
    ]  # fmt: skip
