"""The sections of a sweep's page that change while it runs, each as HTML. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import pandas as pd

from orchestration.execution.local_sweeps import (
    LocalSweeps,
    driver_in_short,
    driver_in_words,
    is_abandoned,
)
from orchestration.model.metric import Metric
from orchestration.page.drawing import view
from orchestration.page.drawing.charts import Series, chart, curves_of, key
from orchestration.page.drawing.grid import LEVELS, grid_page
from orchestration.page.drawing.pieces import Page
from orchestration.page.drawing.scale import AxisKind
from orchestration.page.drawing.state import MOST_DRAWN, Grid
from orchestration.page.drawing.text import shown
from orchestration.page.drawing.view import render
from orchestration.page.finished import (
    has_few_settings,
    has_verdicts,
    search_pictures,
    spike_rates,
    tests_of,
    verdicts,
)
from orchestration.page.read import Sweep
from orchestration.render.series_style import style_of
from orchestration.tables import decisions, search

_MOST_FAILURES = 50
_MOST_DIFFERENCES = 200
"""How many rows of differences are shown; the report has all of them."""


def sections(
    base: str,
    sweep: Sweep,
    driver: str | None,
    events: Sequence[str],
    retried: Mapping[str, int] = MappingProxyType({}),
) -> Page:
    """The sections that change while a sweep runs.

    Args:
        driver: the sweep's driver; None if it is unknown.
        events: the lines of its log, the newest last.
        retried: how often each trial was tried again, by its label in the events.
    """
    experiment, grid, data = sweep.records.experiment_id, sweep.grid, sweep.data

    run_url = partial(view.run_url, base, experiment)
    trial_url = partial(view.trial_url, base, sweep.name)
    names = {trial.run_id: grid.trial_label(cell, seed) for cell, seed, trial in grid.trials()}
    labels = sweep.labels() if retried else {}
    again = {run: retried[label] for run, label in labels.items() if label in retried}
    written = grid_page(grid, trial_url, again)
    found = search.TABLE.of(data)
    searched = "" if found is None else view.table_html(search.TABLE, found, grid.metric, grid.kind)
    return Page(
        {
            "status": _status(base, sweep, driver, run_url),
            **written.sections,
            "scale": render("scale", grid=grid, levels=range(LEVELS)),
            "search": render("search", table=searched, pictures=data.once(search_pictures)),
            "verdicts": render("verdicts", **_verdicts(sweep)),
            "curves": curves(sweep, sweep.curves, sweep.grid.metric, "automatic"),
            "rates": render("rates", **_rates(grid, data.once(spike_rates))),
            "failures": render(
                "failures",
                failures=[
                    (names.get(trial.run_id, label), trial)
                    for label, trial in sweep.failures[:_MOST_FAILURES]
                ],
                left_out=max(0, len(sweep.failures) - _MOST_FAILURES),
                trial_url=trial_url,
            ),
            "events": render("events", events=list(reversed(events))),
        },
        written.cells,
    )


def _status(base: str, sweep: Sweep, driver: str | None, run_url: Callable[[str], str]) -> str:
    abandoned = ""
    if is_abandoned(sweep.status, driver):
        abandoned = driver_in_words(sweep.status, driver, LocalSweeps.how_to_run)
    short = driver_in_short(sweep.status, driver)
    return render(
        "status", sweep=sweep, driver=short, abandoned=abandoned, run_url=run_url, base=base
    )


def _verdicts(sweep: Sweep) -> dict[str, Any]:
    data, metric = sweep.data, sweep.grid.metric
    declared, table, left_out = data.sweep.has_decisions, "", 0
    is_shown = has_verdicts(data) and (declared or has_few_settings(data))
    if is_shown:
        definition, frame = verdicts(data)
        left_out = max(0, len(frame) - _MOST_DIFFERENCES)
        rows = frame.head(_MOST_DIFFERENCES)
        table = "" if rows.empty else view.table_html(definition, rows, metric, data.kind)
    return {
        "declared": declared,
        "promise": decisions.PROMISE,
        "many": has_verdicts(data) and not is_shown,
        "tests": tests_of(data.kind).heading,
        "in_points": metric.is_fraction,
        "table": table,
        "left_out": left_out,
    }


def curves(sweep: Sweep, points: pd.DataFrame, metric: Metric, kind: AxisKind) -> str:
    """The curves of a metric, with one panel per setting."""
    grid = sweep.grid
    all_series = series_of(grid)
    panels, drawn = [], set()
    for cells in grid.drawn():
        if drawn_curves := curves_of(cells, points, grid.series, metric):
            title = shown(grid.setting(cells[0])) or "all"
            panels.append(chart(title, drawn_curves, all_series, metric, kind))
            drawn |= {curve.series for curve in drawn_curves}
    return render(
        "curves",
        metric=metric,
        panels=panels,
        key=key([one for name, one in all_series.items() if name in drawn]),
        left_out=max(0, len(grid.settings()) - MOST_DRAWN),
    )


def series_of(grid: Grid) -> dict[str, Series]:
    """The label and style of each line by the value that it is for, in the spec's order."""
    values = list(dict.fromkeys(cell.values.get(grid.series, "") for cell in grid.cells))
    return {
        value: Series(
            grid.kind.series_name(grid.series, value),
            style_of(value, values, grid.kind.styles),
            grid.kind.value_name(grid.series, value),
        )
        for value in values
    }


def _rates(grid: Grid, rates: pd.DataFrame) -> dict[str, Any]:
    rows = []
    for cell in (cell for cells in grid.drawn() for cell in cells if cell.number in rates.index):
        values = rates.loc[[cell.number]].to_numpy(float)[0].tolist()
        known = [None if math.isnan(value) else value for value in values]
        rows.append({"cell": shown(grid.label(cell)), "rates": known})
    return {"layers": [shown(name, 40) for name in map(str, rates)], "rows": rows}
