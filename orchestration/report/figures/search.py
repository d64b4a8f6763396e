"""The figure of a search: what the best of n settings is worth, for each n."""

from __future__ import annotations

from matplotlib.lines import Line2D

from orchestration.render.figures import Picture
from orchestration.render.panels import MOST_PANELS, legend_below, panel_grid, those_left_out
from orchestration.render.series_style import style_of
from orchestration.tables.report_data import ReportData


def best_against_budget(data: ReportData) -> Picture | None:
    """Draw it: a panel for each network, a line for each of its norms; None without a result.

    Args:
        data: of any sweep; None if it has no search.
    """
    if not data.sweep.has_search:
        return None
    curves = data.sweep.search_best(numbered=True)
    if curves.empty:
        return None
    metric = data.sweep.searched_by
    panels_of: dict[str, list[int]] = {}
    for cell in curves["cell"].unique().tolist():
        panels_of.setdefault(data.setting(cell), []).append(cell)
    unit = " (%)" if metric.is_fraction else ""
    figure, panels = panel_grid(
        list(panels_of), "settings tried", f"expected best {metric.words}{unit}", tall=True
    )
    names: dict[str, Line2D] = {}
    for axes, cells in zip(panels, panels_of.values(), strict=False):
        for cell in cells:
            curve = curves[curves["cell"] == cell]
            norm = data.norm(cell)
            style = style_of(norm, data.norms, data.kind.styles)
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
        "The score that the best of n settings has on average, had only n been tried, and its 95 % "
        "bootstrap interval over settings. Scores are of the data that chose the settings, and of "
        "pruned settings what they had reached."
    )
    return Picture(
        "best-against-budget",
        "Best against budget",
        caption + those_left_out(len(panels_of), MOST_PANELS),
        figure,
    )
