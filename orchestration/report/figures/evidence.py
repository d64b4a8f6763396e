"""The figure of growing evidence: each declared comparison's e-value by pairs of seeds."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from orchestration.render.figures import Picture
from orchestration.render.panels import MOST_PANELS, legend_below, panel_grid, those_left_out
from orchestration.render.table import as_text
from orchestration.tables.report_data import ReportData

_STYLES = list(itertools.islice(zip(itertools.cycle("osD^vP"), itertools.cycle(range(1, 16))), 30))
"""Markers and colours, whose cycles have different lengths."""

_FARTHEST = 1e4
"""The largest multiple of the bound that is drawn."""


def evidence_figure(data: ReportData) -> Picture | None:
    """Draw a panel per setting and a line per comparison; None without evidence."""
    curves = data.evidence
    if curves is None or not len(curves):
        return None
    in_panels: dict[str, list[pd.DataFrame]] = {}
    for _, curve in curves.groupby(["cell", "compared", "against"], sort=False):
        first = curve.iloc[0]
        setting = data.setting(first["cell"], but=first["compared"])
        in_panels.setdefault(setting, []).append(curve)
    has_e = bool(curves["e_value"].notna().any())
    figure, panels = panel_grid(
        list(in_panels), "pairs of seeds", "e-value" if has_e else "1 / p", tall=True
    )
    names: dict[str, int] = {}
    bounds = curves.drop_duplicates("n").sort_values("n")
    for axes, of_panel in zip(panels, in_panels.values(), strict=False):
        for curve in of_panel:
            _line(axes, curve, names.setdefault(_name(data, curve), len(names)))
        axes.step(
            bounds["n"], bounds["bound"], where="mid", color="#222222", linewidth=1, linestyle="--"
        )
    highest = curves["bound"].max()
    drawn = _evidence(curves)
    panels[0].set_yscale("log")
    panels[0].set_ylim(
        max(drawn.min(), 1e-3) / 2, min(_FARTHEST * highest, 4 * max(drawn.max(), highest))
    )
    panels[0].set_xlim(0.5, curves["n"].max() + 0.5)
    handles = [
        Line2D([], [], color=f"C{color}", marker=marker, markersize=4, label=name)
        for name, (marker, color) in ((name, _style(number)) for name, number in names.items())
    ]
    bound = "bound 1/α, by Holm's method"
    handles.append(Line2D([], [], color="#222222", linewidth=1, linestyle="--", label=bound))
    legend_below(figure, handles)
    what = "The e-value" if has_e else "1/p, by alpha spending,"
    caption = (
        f"{what} of each declared comparison after each pair of seeds, in the order of the seeds. "
        "A comparison is found different where it reaches the bound, which is lower once others "
        "have been. A ring marks where it was decided, a square where it was decided as equal; "
        "what came later is pale and changes nothing."
    )
    left_out = those_left_out(len(in_panels), MOST_PANELS)
    return Picture("evidence", "Growing evidence", caption + left_out, figure)


def _line(axes: Axes, curve: pd.DataFrame, number: int) -> None:
    marker, color = _style(number)
    n, values = curve["n"].to_numpy(), _evidence(curve)
    decided = np.flatnonzero(curve["verdict"].notna())
    end = int(decided[0]) if len(decided) else len(n) - 1
    for part, alpha in ((slice(end, None), 0.25), (slice(end + 1), 1.0)):
        axes.plot(
            n[part], values[part], color=f"C{color}", marker=marker, markersize=4, alpha=alpha
        )
    if len(decided):
        ring = "s" if curve["verdict"].iloc[end] == "equal" else "o"
        axes.plot(
            n[end], values[end], ring, color=f"C{color}", markersize=11, markerfacecolor="none",
            clip_on=False,
        )  # fmt: skip


def _evidence(curves: pd.DataFrame) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The e-values, or 1/p if the method has none."""
    return curves["e_value"].fillna(1 / curves["p"]).to_numpy(float)


def _style(number: int) -> tuple[str, int]:
    return _STYLES[number % len(_STYLES)]


def _name(data: ReportData, curve: pd.DataFrame) -> str:
    row = curve.iloc[0]
    axis = row["compared"]
    first, second = (
        data.kind.value_name(axis, as_text(value)) for value in (row[axis], row["against"])
    )
    return f"{first} against {second}"
