"""What the pages show, as bytes: read, computed and drawn. It runs apart from the server's loop."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import cached_property, partial
from typing import Any, cast, get_args

import pandas as pd
from markupsafe import Markup, escape

from orchestration.errors import InputError, SweepError
from orchestration.execution.local_sweeps import LocalSweeps, is_abandoned
from orchestration.model.metric import TEST_ACCURACY
from orchestration.page.acting import Actor
from orchestration.page.drawing import view
from orchestration.page.drawing.charts import Series, chart, curve_of
from orchestration.page.drawing.layers import strips
from orchestration.page.drawing.pieces import Change
from orchestration.page.drawing.scale import AxisKind
from orchestration.page.finished import has_verdicts, verdicts
from orchestration.page.live_pages import LivePage
from orchestration.page.prometheus import prometheus_text
from orchestration.page.read import Reader
from orchestration.page.sections import curves
from orchestration.page.shared import OfSweeps, Shared
from orchestration.reading.records import Source
from orchestration.reading.summaries import SUMMARIES, SweepSummary
from orchestration.render.series_style import style_of
from orchestration.results.comparison import HEADLINE_PUBLISHED, comparison_of
from orchestration.sweep.more_seeds import MOST_MORE_SEEDS
from orchestration.tables import best_of_seeds, comparison
from orchestration.tables.definition import TableDefinition
from orchestration.tables.report_data import ReportData
from services.settings import Settings

FORMS = {"tex": "latex", "md": "markdown", "csv": "csv"}
"""The forms of a table by the endings of their addresses."""

_LABELS = {"tex": "LaTeX", "md": "Markdown", "csv": "CSV"}
_MOST_KEPT = 8
"""How many pages and tables are kept; a large one has some 10 MB."""


class Drawer:
    """Draws pages. Its methods may be called from several threads; arguments can be pickled.

    Args:
        open_source: gives MLflow's database, or its store where the database's schema is not known.
        settings: where this machine's sweeps leave their logs and who drives them.
        base: what addresses of the server begin with; empty unless it has a prefix.
    """

    def __init__(
        self, open_source: Callable[[], Source], settings: Settings, actor: Actor, base: str
    ) -> None:
        self._open_source, self._settings, self._base = open_source, settings, base
        self._actor = actor
        self._here = LocalSweeps(settings)
        self._shared: Shared[bytes] = Shared(_MOST_KEPT)
        # Stands in forms for the visitor's own, so that visitors share a page; nobody can guess it.
        self._any_token = secrets.token_urlsafe(32)

    @cached_property
    def _reader(self) -> Reader:
        return Reader(self._open_source())

    @cached_property
    def _live(self) -> OfSweeps[LivePage]:
        return OfSweeps(partial(LivePage, self._reader, self._settings, self._base))

    def names(self) -> list[str]:
        """The names of all sweeps, the last started first."""
        return self._reader.names()

    def run_of(self, name: str) -> tuple[str, str | None]:
        """The ids of a sweep's experiment and of its own run; None if it has no run."""
        records = self._reader.sweep(name).records
        return records.experiment_id, records.parent_run_id

    def listed(self, readable: frozenset[str] | None, find: str, sort: str) -> bytes:
        """The list of sweeps.

        Args:
            readable: the names of those that the visitor may see; None if all.
            find, sort: see ``view.listed``.
        """
        sweeps, drivers = self._sweeps(readable)
        rows = view.listed(sweeps, drivers, find, sort)
        return self._page("list", rows=rows, total=len(sweeps), find=find, sort=sort)

    def prometheus(self, readable: frozenset[str] | None) -> bytes:
        """The metrics of the sweeps that the visitor may see, for Prometheus."""
        began = time.monotonic()
        sweeps, drivers = self._sweeps(readable)
        answered = time.monotonic() - began
        return prometheus_text(sweeps, drivers, answered, self._reader.database_bytes())

    def summaries(self, readable: frozenset[str] | None) -> bytes:
        """The summaries of the sweeps that the visitor may see, as JSON for ``snn-sweep list``."""
        return SUMMARIES.dump_json(self._sweeps(readable)[0])

    def _sweeps(self, readable: frozenset[str] | None) -> tuple[list[SweepSummary], dict[str, str]]:
        """The sweeps that the visitor may see, and the drivers of those that run."""
        sweeps = self._reader.sweeps()
        if readable is not None:
            sweeps = [sweep for sweep in sweeps if sweep.name in readable]
        running = [sweep.name for sweep in sweeps if sweep.status == "running"]
        return sweeps, self._here.drivers(running) if running else {}

    def news(self, name: str, have: str) -> list[Change]:
        """What has changed on a sweep's page since this version."""
        return self._live.of(name).news(have)

    def sweep(self, name: str, others: tuple[str, ...], token: str | None) -> bytes:
        """A sweep's page.

        Args:
            others: names of sweeps that the visitor may see, to compare with.
            token: of the forms of a visitor who may act on the sweep; None for others.
        """
        live = self._live.of(name)
        version, page, sweep = live.current()
        no_more = ""
        if token is not None:
            try:
                self._actor.growing(sweep)
            except SweepError as error:
                no_more = str(error)
        runs = sweep.status == "running" and not is_abandoned(sweep.status, live.driver)

        def draw() -> bytes:
            # Sections are HTML already; every text in them was escaped when they were written.
            sections = {part: Markup(html) for part, html in page.sections.items()}
            grid = sweep.grid
            reference = [HEADLINE_PUBLISHED] if grid.metric == TEST_ACCURACY else []
            return self._page(
                "sweep", name=name, sections=sections, page_version=version,
                metric=grid.metric, metrics=sweep.metrics, forms=_LABELS, series=grid.series,
                has_verdicts=has_verdicts(sweep.data),
                has_layers=grid.kind.has_layers, may_act=token is not None, token=self._any_token,
                no_more=no_more, runs=runs, most_more=MOST_MORE_SEEDS,
                others=[*(other for other in others if other != name), *reference],
            )  # fmt: skip

        key = ("sweep", name, version, others, token is None, no_more, runs)
        drawn = self._shared.get(key, draw)
        if token is None:
            return drawn
        return drawn.replace(self._any_token.encode(), escape(token).encode())

    def layers(self, name: str) -> bytes:
        """Diagnostics of a sweep by layer."""
        sweep = self._reader.sweep(name)

        def draw() -> bytes:
            tables = strips(sweep.grid, self._reader.layers(sweep))
            return self._page("layers", name=name, tables=tables)

        return self._shared.get(("layers", name, sweep.token.finished), draw)

    def curves(self, name: str, metric: str, axis: str) -> bytes:
        """The curves of one metric.

        Args:
            metric: one of ``Sweep.metrics``; empty for the one that trials are judged by.
            axis: one of AxisKind.

        Raises:
            InputError: there is no such metric or axis.
        """
        sweep = self._reader.sweep(name)
        metric = metric or sweep.grid.metric.name
        if metric not in sweep.metrics:
            raise InputError(f"metric must be one of {', '.join(sweep.metrics)}, not {metric!r}")
        if axis not in (kinds := get_args(AxisKind)):
            raise InputError(f"axis must be one of {', '.join(kinds)}, not {axis!r}")
        of = sweep.metric(metric)

        def draw() -> bytes:
            drawn = curves(sweep, self._reader.points(sweep, metric), of, cast("AxisKind", axis))
            return self._page(
                "curves_page", name=name, metric=of, metrics=sweep.metrics, axis=axis,
                curves=Markup(drawn),
            )  # fmt: skip

        return self._shared.get(("curves", name, metric, axis, sweep.token), draw)

    def trial(self, name: str, run: str) -> bytes:
        """The details of the trial of a sweep that has this run."""
        sweep = self._reader.sweep(name)
        cell, seed, trial = self._reader.trial(sweep, run)
        by_metric = self._reader.metrics(sweep, run)
        params = sorted(sweep.records_of(run).param_rows([run]))
        events = self._live.of(name).events_of(sweep.labels().get(run, ""))
        line = {"": Series("this trial", style_of("", [""], {}))}
        panels = []
        for metric in map(sweep.metric, sweep.metrics):
            points = by_metric[by_metric["metric"] == metric.name]
            if curve := curve_of("", points, metric):
                panels.append(chart(metric.title, [curve], line, metric))
        label = sweep.grid.trial_label(cell, seed)
        return self._page(
            "trial", name=name, label=label, trial=trial, epochs=cell.epochs,
            metric=sweep.grid.metric, params={key: text for _, key, text in params},
            panels=panels, events=events,
            run_url=view.run_url(self._base, sweep.records.experiment_id, run),
        )  # fmt: skip

    def report(self, name: str, files: list[str]) -> bytes:
        """Links to the files of a sweep's report."""
        experiment, run = self.run_of(name)
        at = partial(view.artifact_url, self._base, experiment, run or "")
        return self._page("report", name=name, parts=view.report_parts(files), at=at)

    def table(self, name: str, table: str, form: str) -> bytes:
        """One of TABLES in one of FORMS."""
        sweep = self._reader.sweep(name)

        def draw() -> bytes:
            definition, frame = TABLES[table](sweep.data)
            text = definition.write(frame, FORMS[form], metric=sweep.grid.metric)
            return f"{text}\n".encode()

        return self._shared.get((table, form, name, sweep.token.finished), draw)

    def compared(self, name: str, other: str, form: str, names: tuple[str, ...]) -> bytes:
        """Two sweeps side by side.

        Args:
            form: one of FORMS; empty for a page.
            names: of the sweeps that the visitor may see, to compare with.
        """
        sweep = self._reader.sweep(name)
        compared = None if other == HEADLINE_PUBLISHED else self._reader.sweep(other)

        def draw() -> bytes:
            second = None if compared is None else compared.data.sweep
            table, metric = comparison_of(name, sweep.data.sweep, other, second)
            if form:
                text = comparison.TABLE.write(table, FORMS[form], metric=metric)
                return f"{text}\n".encode()
            named = view.table_html(comparison.TABLE, table, metric, sweep.grid.kind)
            return self._page(
                "compare", name=name, other=other, table=named, names=[*names, HEADLINE_PUBLISHED],
                forms=_LABELS,
            )  # fmt: skip

        token = sweep.token.finished, compared and compared.token.finished
        return self._shared.get(("compared", name, other, form, names, token), draw)

    def stop(self, name: str) -> None:
        """Stop a sweep, as Actor does."""
        self._actor.stop(name)

    def more_seeds(self, name: str, count: int, login: Mapping[str, str]) -> None:
        """Add this many seeds to a sweep, as Actor does."""
        self._actor.more_seeds(self._reader.sweep(name), count, login)

    def _page(self, template: str, **values: Any) -> bytes:
        return view.render(template, base=self._base, **values).encode()


TABLES: dict[str, Callable[[ReportData], tuple[TableDefinition, pd.DataFrame]]] = {
    "table": lambda data: (best_of_seeds.TABLE, data.best),
    "verdicts": verdicts,
}
"""Tables of a sweep that can be copied, by the names of their addresses."""
