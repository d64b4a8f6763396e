"""Results of a sweep that a notebook shows: its headline, its tables and its figures."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from markupsafe import Markup

from orchestration.errors import InputError
from orchestration.render.html import html
from orchestration.render.latex import latex
from orchestration.render.markdown import markdown
from orchestration.render.table import Table
from orchestration.render.terminal import plain
from orchestration.results import results
from orchestration.tables import best_of_seeds, headline
from orchestration.tables.registry import TABLES
from orchestration.tables.report_data import ReportData, read_report_data

if TYPE_CHECKING:
    from orchestration.render.figures import Picture, ReportFigure

_STYLE = Markup(
    "<style>.snn-sweep th, .snn-sweep td {text-align: left; white-space: nowrap}"
    ".snn-sweep .number {text-align: right; font-variant-numeric: tabular-nums}</style>"
)


@dataclass(frozen=True, repr=False)
class ShownTable:
    """A table as the report has it: a notebook shows it, and ``print`` writes it as text."""

    table: Table

    def __repr__(self) -> str:
        return plain(self.table)

    def _repr_html_(self) -> str:
        return Markup('{}<div class="snn-sweep">{}</div>').format(_STYLE, html(self.table))

    def _repr_markdown_(self) -> str:
        return markdown(self.table)

    def _repr_latex_(self) -> str:
        return latex(self.table)


class Plots:
    """The report's figures of one sweep, as figures of matplotlib. Each call reads it anew.

    Each method raises InputError if the sweep has no numbers for its figure.
    """

    def __init__(self, sweep: results.Results) -> None:
        self._sweep = sweep

    def dependency_gap(self) -> ReportFigure:
        """What each norm adds to the same network without one."""
        return self._figure("dependency-gap")

    def best_against_budget(self) -> ReportFigure:
        """The expected best of a search's settings, by how many of them are tried."""
        return self._figure("best-against-budget")

    def search_importance(self) -> ReportFigure:
        """How much each key of a search's space matters, with each norm."""
        return self._figure("search-importance")

    def parallel_coordinates(self) -> ReportFigure:
        """Every setting that a search has tried, as a line through its values to its score."""
        return self._figure("parallel-coordinates")

    def accuracy_by_seed(self) -> ReportFigure:
        """Every seed of each cell, with mean and 95 % interval."""
        return self._figure("accuracy-by-seed")

    def ranks(self) -> ReportFigure:
        """Mean ranks of the norms, with bars over those that do not differ."""
        return self._figure("critical-difference")

    def evidence(self) -> ReportFigure:
        """The evidence of each declared comparison after each pair of seeds."""
        return self._figure("evidence")

    def learning_curves(self) -> ReportFigure:
        """The metric by epoch: mean over seeds, and their range."""
        return self._figure("learning-curves")

    def why(self) -> ReportFigure:
        """Diagnostics of every layer, from before the first step to the last epoch."""
        return self._figure("why")

    def spike_rates(self) -> ReportFigure:
        """The spikes per neuron and time step, by layer and epoch."""
        return self._figure("spike-rates")

    def energy(self) -> ReportFigure:
        """Mean accuracy against the estimated energy of an image."""
        return self._figure("accuracy-by-energy")

    def cost(self) -> ReportFigure:
        """The training time of each cell, and how many images it trains per second."""
        return self._figure("cost")

    def _figure(self, name: str) -> ReportFigure:
        from orchestration.render.figures import style
        from orchestration.report.figures.draw import FIGURES  # imports matplotlib

        draw: Callable[[ReportData], Picture | None] = FIGURES[name]
        with style():
            picture = draw(read_report_data(self._sweep))
        if picture is None:
            raise InputError(
                f"sweep {self._sweep.name!r} has no numbers for the figure {name}: has one of its "
                "trials finished, and does its spec have what the figure shows?"
            )
        return picture.figure


class Results(results.Results):
    """The finished trials of one sweep, and in a notebook its headline, tables and figures.

    Args:
        name: the sweep's name, or a file that ``snn-sweep export`` wrote.
        tracking_uri: MLflow's tracking server; by default that of the settings.
        database_url: MLflow's database, for fast answers; by default that of the settings.
    """

    @property
    def plot(self) -> Plots:
        """The report's figures: ``results.plot.learning_curves()``, ``.why()``, ``.ranks()``, …"""
        return Plots(self)

    def table(self, name: str = "best_of_seeds") -> ShownTable:
        """A table as the report has it, for a notebook or ``print``.

        Args:
            name: the name of a table, such as headline, best_of_seeds or norm_differences.

        Raises:
            InputError: there is no such table, or this sweep has no numbers for it.
        """
        if name not in TABLES:
            raise InputError(f"table must be one of {', '.join(TABLES)}, got {name!r}")
        data = read_report_data(self)
        frame = TABLES[name].of(data)
        if frame is None:
            raise InputError(f"sweep {self.name!r} has no numbers for the table {name}")
        return ShownTable(TABLES[name].table(frame, data.metric))

    def _repr_html_(self) -> str:
        """The headline, or best of seeds for the user's own training code."""
        data = read_report_data(self)
        tables = [
            definition.table(data.best, data.metric)
            for definition in (headline.TABLE, best_of_seeds.TABLE)
            if definition.of(data) is not None
        ]
        shown = next((table for table in tables if table.rows), tables[-1])
        title = Markup("<p><strong>{}</strong></p>").format(self.name)
        return title + Markup(ShownTable(shown)._repr_html_())
