"""The figures of a report, from a sweep's data.

Accuracies are in percent; the user's own metrics are drawn as they are.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from orchestration.model.metric import SPIKE_RATE
from orchestration.render.figures import Picture
from orchestration.render.panels import (
    MOST_PANELS,
    MOST_ROWS,
    axis_unit,
    legend_below,
    named_rows,
    panel_grid,
    series_handles,
    those_left_out,
)
from orchestration.report.figures.energy import energy_figure
from orchestration.report.figures.evidence import evidence_figure
from orchestration.report.figures.ranks import critical_differences
from orchestration.report.figures.search import (
    best_against_budget,
    importance,
    parallel_coordinates,
)
from orchestration.report.figures.why import why
from orchestration.results.columns import SELECTED_ON, remark
from orchestration.results.effects.norm_effects import settings_of
from orchestration.tables import energy, norm_gaps
from orchestration.tables.report_data import ReportData

_MANY_LINES = 5
"""With more lines in a panel, lines are thinner and the range over seeds is not drawn."""

_HOLLOW = ("o", "hollow: incomplete, collapsed or diverged")


def dependency_gap(data: ReportData) -> Picture | None:
    """One row per norm: its gap to no norm."""
    all_gaps = norm_gaps.TABLE.of(data)
    if all_gaps is None or not all_gaps["gap_pp"].notna().any():
        return None
    measured = all_gaps[all_gaps["gap_pp"].notna()]
    gaps = measured.iloc[:MOST_ROWS]
    without = {
        number: setting.numbers["none"]
        for setting in settings_of(data.best, data.axes)
        for number in setting.numbers.values()
        if "none" in setting.numbers
    }
    figure, (axes,) = named_rows([data.label(cell) for cell in gaps.index])
    for row, (cell, gap) in enumerate(zip(gaps.index, gaps.to_dict("records"), strict=True)):
        none, accuracy = 100 * gap["none"], 100 * gap["accuracy"]
        axes.plot([none, accuracy], [row, row], color="#dddddd", linewidth=5, zorder=1)
        _dot(axes, data, without[cell], none, row)
        _dot(axes, data, cell, accuracy, row)
        standard = " (standard)" if gap["is_standard"] else ""
        axes.annotate(
            f"{gap['gap_pp']:+.2f} pp{standard}", (1.01, row),
            xycoords=("axes fraction", "data"), va="center",
        )  # fmt: skip
    axes.set_xlabel("test accuracy, best of seeds (%)")
    axes.set_xlim(-2, 102)
    _legend(figure, data, lines=False, lacking=_HOLLOW if any(data.lacks) else None)
    caption = (
        "Best of seeds with each norm, and of the same network without one. The grey bar is what "
        "the norm adds; that of the standard norm is the dependency gap. "
    ) + remark(gaps[SELECTED_ON])
    caption += those_left_out(len(measured))
    return Picture("dependency-gap", "Dependency gap", caption, figure)


def accuracy_by_seed(data: ReportData) -> Picture | None:
    """Every seed of each cell, their mean and its interval."""
    if not data.best["best"].notna().any():
        return None
    cells = list(range(len(data.best)))[:MOST_ROWS]
    accuracies = data.metric.is_fraction
    figure, panels = named_rows([data.label(cell) for cell in cells], 2 if accuracies else 1)
    for axes in panels:
        for cell in cells:
            _seeds(axes, data, cell)
        axes.set_xlabel(f"{data.metric.words}, best epoch{axis_unit(data.metric)}")
    if accuracies:
        _closer(data, *panels)
    lacking = ("o", "hollow: collapsed or diverged") if _any_lacking(data) else None
    _legend(figure, data, lines=False, lacking=lacking)
    caption = (
        "Each marker is a seed; the upright line is their mean, the thin one its 95 % t-interval"
        + (", cut at 0 and 100 %. " if accuracies else ". ")
    ) + remark(data.best[SELECTED_ON])
    title = "Accuracy by seed" if accuracies else f"{data.metric.name} by seed"
    return Picture("accuracy-by-seed", title, caption + those_left_out(len(data.best)), figure)


def _closer(data: ReportData, whole: Axes, closer: Axes) -> None:
    """Set the ranges: all accuracies in one panel, and those that learned in the other."""
    whole.set_xlim(-2, 102)
    whole.set_xticks([0, 25, 50, 75, 100])
    whole.set_title("all", fontsize="medium")
    learned = data.trials.loc[data.trials["outcome"] == "completed", "best_test_accuracy"]
    if learned.notna().any():
        closer.set_xlim(100 * learned.min() - 1, min(100 * learned.max() + 1, 100.5))
    closer.set_title("those that learned, closer", fontsize="medium")


def _seeds(axes: Axes, data: ReportData, cell: int) -> None:
    row, drawn, scale = data.best.iloc[cell], data.style(data.norm(cell)), data.metric.scale
    if not math.isnan(row["ci_low"]):
        ends = [scale * row["ci_low"], scale * row["ci_high"]]
        if data.metric.is_fraction:
            ends = [max(ends[0], 0), min(ends[1], 100)]
        axes.plot(ends, [cell, cell], color=drawn.color, linewidth=1, alpha=0.7)
    axes.plot([scale * row["mean"]] * 2, [cell - 0.3, cell + 0.3], color=drawn.color)
    trials = data.trials[data.trials["cell"] == cell]
    heights = cell + (np.linspace(-0.2, 0.2, len(trials)) if len(trials) > 1 else np.zeros(1))
    heights = heights[: len(trials)]
    whole = trials["outcome"] == "completed"
    for part, face in ((whole, drawn.color), (~whole, "#ffffff")):
        axes.plot(
            scale * trials[data.metric.best_name][part], heights[part.to_numpy()], drawn.marker,
            color=drawn.color, markersize=4.5, zorder=3, markerfacecolor=face,
        )  # fmt: skip


def learning_curves(data: ReportData) -> Picture | None:
    """The metric by epoch, one panel per network."""
    name = data.metric.name
    if name not in data.curves or not data.curves[name].notna().any():
        return None
    settings = data.by_setting(sorted(set(data.curves["cell"])))
    crowded = max(map(len, settings.values())) > _MANY_LINES
    shown = f"{data.metric.words}{axis_unit(data.metric)}"
    figure, panels = panel_grid(list(settings), "epoch", shown, tall=crowded)
    for axes, cells in zip(panels, settings.values(), strict=False):
        for cell in cells:
            _curve(axes, data, cell, crowded=crowded)
        if data.metric.is_fraction:
            axes.set_ylim(-2, 102)
    lacking = ("x", "collapsed or diverged seed") if _any_lacking(data) else None
    _legend(figure, data, lines=True, lacking=lacking)
    caption = (
        "The line is the mean over seeds, for as long as all of them ran; the shade, where a panel "
        "has room for it, reaches from the lowest to the highest seed. A cross ends a seed that "
        "collapsed or diverged."
    )
    left_out = those_left_out(len(settings), MOST_PANELS)
    return Picture("learning-curves", "Learning curves", caption + left_out, figure)


def _curve(axes: Axes, data: ReportData, cell: int, *, crowded: bool) -> None:
    drawn = data.style(data.norm(cell))
    curves = data.curves[data.curves["cell"] == cell]
    metric = data.metric
    by_seed = metric.scale * curves.pivot(index="epoch", columns="run_id", values=metric.name)
    epochs = by_seed.index.to_numpy()
    if not crowded:
        low, high = by_seed.min(axis=1), by_seed.max(axis=1)
        axes.fill_between(epochs, low, high, color=drawn.color, alpha=0.18, linewidth=0)
    everyone = by_seed.dropna()
    axes.plot(
        everyone.index, everyone.mean(axis=1),
        color=drawn.color, linestyle=drawn.line, marker=drawn.marker,
        markevery=max(1, len(epochs) // 8), markersize=4, linewidth=1 if crowded else 1.6,
    )  # fmt: skip
    outcomes = data.trials.set_index("run_id")["outcome"].reindex(by_seed.columns)
    lacking = by_seed.loc[:, outcomes != "completed"].dropna(axis="columns", how="all")
    if not lacking.empty:
        ends = lacking[::-1].notna().idxmax()
        axes.plot(ends, lacking.ffill().iloc[-1], "x", color=drawn.color, markersize=8)


def spike_rates(data: ReportData) -> Picture | None:
    """The spike rates of each layer by epoch."""
    layers = [name for name in map(str, data.curves) if name.startswith(SPIKE_RATE)]
    if not data.curves[layers].notna().any(axis=None):
        return None
    means = data.curves.groupby(["cell", "epoch"])[layers].mean().dropna(how="all")
    cells = list(dict.fromkeys(means.index.get_level_values("cell")))
    figure, panels = panel_grid([data.label(cell) for cell in cells], "epoch", "spikes a step")
    # These shades are visible on white and on black.
    shades = colormaps["viridis"](np.linspace(0.2, 0.7, len(layers)))
    looks = list(zip(layers, shades, itertools.cycle("os^Dv<>pP*"), strict=False))
    for axes, cell in zip(panels, cells, strict=False):
        for layer, shade, marker in looks:
            rates = means.loc[cell, layer]
            axes.plot(rates.index, rates, color=shade, marker=marker, markersize=4)
    highest = float(np.nanmax(means.loc[cells[: len(panels)]].to_numpy()))
    panels[0].set_ylim(0, 1.05 * highest or 1)
    handles = [
        Line2D([], [], color=shade, marker=marker, markersize=4, label=layer[len(SPIKE_RATE) :])
        for layer, shade, marker in looks
    ]
    legend_below(figure, handles, most=7)
    caption = (
        "Spikes a neuron and time step on the test set, by layer, mean over seeds. "
        "A layer at zero is silent."
    )
    left_out = those_left_out(len(cells), MOST_PANELS)
    return Picture("spike-rates", "Spike rates by layer", caption + left_out, figure)


def accuracy_by_energy(data: ReportData) -> Picture | None:
    """Accuracy and energy of each cell."""
    table = energy.TABLE.of(data)
    return None if table is None else energy_figure(table, data.norms)


def cost(data: ReportData) -> Picture | None:
    """The training time of each cell, and how many images it trains a second."""
    if not data.curves["epoch_seconds"].notna().any():
        return None
    cells = list(range(len(data.best)))[:MOST_ROWS]
    by_cell = data.curves.groupby("cell")
    seconds = by_cell["epoch_seconds"].sum(min_count=1).reindex(cells).to_numpy(float)
    speeds = None
    if "images_per_second" in data.curves:
        speeds = by_cell["images_per_second"].median().reindex(cells).to_numpy(float)
    unit, seconds_each = _unit(float(np.nan_to_num(seconds).max(initial=0)))
    shown = [(seconds / seconds_each, f"training, all seeds ({unit})", "{:.1f}")]
    if speeds is not None:
        shown.append((speeds, "training images a second (median)", "{:,.0f}"))
    figure, panels = named_rows([data.label(cell) for cell in cells], len(shown))
    for axes, (values, label, form) in zip(panels, shown, strict=True):
        for cell, value in zip(cells, values, strict=True):
            if math.isnan(value):
                continue
            drawn = data.style(data.norm(cell))
            axes.barh(cell, value, 0.6, color=drawn.color, alpha=0.75)
            axes.annotate(form.format(value), (value, cell), (3, 0),
                          textcoords="offset points", va="center", fontsize="small")  # fmt: skip
        axes.set_xlabel(label)
        axes.margins(x=0.18)
        axes.set_xlim(left=0)
    total = float(data.curves["epoch_seconds"].sum())
    unit, seconds_each = _unit(total)
    caption = (
        f"{total / seconds_each:.1f} {unit} of training in all; a trial is counted from its first "
        "epoch."
    )
    return Picture("cost", "Cost", caption + those_left_out(len(data.best)), figure)


def _unit(seconds: float) -> tuple[str, int]:
    """The unit for this time, and its length in seconds."""
    units = (("hours", 3600), ("minutes", 60))
    return next((unit for unit in units if seconds >= unit[1]), ("seconds", 1))


def _any_lacking(data: ReportData) -> bool:
    return bool((data.trials["outcome"] != "completed").any())


def _dot(axes: Axes, data: ReportData, cell: int, accuracy: float, height: float) -> None:
    """Draw a cell's marker, which is hollow if the cell lacks something."""
    drawn = data.style(data.norm(cell))
    axes.plot(
        accuracy, height, drawn.marker, color=drawn.color, markersize=7, zorder=3,
        markerfacecolor="#ffffff" if data.lacks[cell] else drawn.color,
    )  # fmt: skip


def _legend(
    figure: Figure, data: ReportData, *, lines: bool, lacking: tuple[str, str] | None
) -> None:
    """Add the norms as a legend.

    Args:
        lacking: the marker of incomplete cells and its meaning; None if there are none.
    """
    named = ((data.display_name(norm), data.style(norm)) for norm in data.norms)
    handles = series_handles(named, lines=lines)
    if lacking:
        marker, label = lacking
        handles.append(
            Line2D([], [], color="#222222", linestyle="none", marker=marker,
                   markerfacecolor="#ffffff", label=label)
        )  # fmt: skip
    if handles:
        legend_below(figure, handles)


FIGURES: dict[str, Callable[[ReportData], Picture | None]] = {
    "dependency-gap": dependency_gap,
    "best-against-budget": best_against_budget,
    "search-importance": importance,
    "parallel-coordinates": parallel_coordinates,
    "accuracy-by-seed": accuracy_by_seed,
    "critical-difference": critical_differences,
    "evidence": evidence_figure,
    "learning-curves": learning_curves,
    "why": why,
    "spike-rates": spike_rates,
    "accuracy-by-energy": accuracy_by_energy,
    "cost": cost,
}
"""The functions that draw a figure, by the names of its files.

They are called in ``style``, and return None if a sweep has no numbers for the figure.
"""


def draw(data: ReportData) -> Iterator[Picture]:
    """Give the figures that this sweep has numbers for. Call in ``render.figures.style``."""
    for figure in FIGURES.values():
        if picture := figure(data):
            yield picture
