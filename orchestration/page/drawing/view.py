"""Fills the templates of the pages. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote, urlencode

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestration.execution.local_sweeps import driver_in_short
from orchestration.model.durations import duration, impossible_times
from orchestration.model.metric import Metric
from orchestration.model.sweep_kind import SweepKind
from orchestration.page.drawing.text import harmless, shown
from orchestration.reading.summaries import SweepSummary
from orchestration.record.names import TRAINING_PAGES
from orchestration.render.html import html
from orchestration.render.table import NO_NUMBER, unit_of
from orchestration.tables.definition import TableDefinition


def sweep_url(base: str, name: str, page: str = "") -> str:
    """The address of a sweep's page."""
    return f"{base}/sweeps/{quote(name, safe='')}{page}"


def trial_url(base: str, name: str, run: str) -> str:
    """The address of the page of a sweep's trial, by the id of its run."""
    return sweep_url(base, name, f"/trials/{quote(run, safe='')}")


def run_url(base: str, experiment: str, run: str) -> str:
    """The address of MLflow's page of a run."""
    return f"{base}/#/experiments/{experiment}/runs/{run}?{TRAINING_PAGES}"


def artifact_url(base: str, experiment: str, run: str, path: str) -> str:
    """The address at which MLflow shows a file of a run."""
    return f"{base}/#/experiments/{experiment}/runs/{run}/artifacts/{quote(path)}?{TRAINING_PAGES}"


def report_parts(files: Sequence[str]) -> dict[str, dict[str, list[str]]]:
    """A report's files: its page, figures and tables, each by name with the forms that it has."""
    parts: dict[str, dict[str, list[str]]] = {"the whole": {}, "figures": {}, "tables": {}}
    for path in sorted(files):
        stem = path.rpartition("/")[2].rpartition(".")[0]
        kind = "figures" if "/figures/" in path else "tables"
        kind = "the whole" if path == "report/report.html" else kind
        parts[kind].setdefault(stem, []).append(path)
    return {kind: named for kind, named in parts.items() if named}


def table_html(
    definition: TableDefinition, frame: pd.DataFrame, metric: Metric, kind: SweepKind
) -> str:
    """A table in which norms have their names, as they have everywhere else on a page."""
    table = definition.table(frame, metric)
    rows = [
        [
            replace(cell, text=kind.value_name(heading, cell.text))
            for cell, heading in zip(row, table.headings, strict=True)
        ]
        for row in table.rows
    ]
    return html(replace(table, rows=rows))


def amount(value: float | None, metric: Metric) -> str:
    """A value of a metric with its unit, if it has one."""
    return NO_NUMBER if value is None else metric.number(value) + unit_of(metric)


def _time(seconds: float | None) -> Markup | str:
    """A time in UTC, which the script replaces by the reader's local time."""
    if seconds is None:
        return "–"
    at = datetime.fromtimestamp(seconds, UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M")
    )


def _hours(hours: float, on_gpu: bool) -> str:
    amount = f"{hours:,.1f} h" if hours >= 0.95 else duration(3600 * hours)
    return f"{amount} of GPU" if on_gpu else amount


_environment = Environment(
    loader=PackageLoader("orchestration.page"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_environment.filters |= {"shown": shown, "amount": amount, "time": _time, "duration": duration}


def render(template: str, **values: Any) -> str:
    """A piece of a page."""
    return harmless(_environment.get_template(f"{template}.html").render(**values))


def _by_best(sweep: SweepSummary) -> tuple[bool, str, float]:
    """Sorts accuracies first, then the other metrics by name; the best value of each is first."""
    metric = sweep.metric
    value = float("inf") if sweep.best is None else -metric.sign * sweep.best
    return not metric.is_fraction, metric.name, value


_COLUMNS: dict[str, tuple[str, Callable[[dict[str, Any]], Any]]] = {
    "name": ("sweep", lambda row: row["sweep"].name.casefold()),
    "status": ("status", lambda row: row["sweep"].status),
    "started": ("started", lambda row: -row["sweep"].started.timestamp()),
    "progress": ("trials", lambda row: -row["share"]),
    "hours": ("hours", lambda row: -row["sweep"].hours),
    "best": ("best", lambda row: _by_best(row["sweep"])),
    "best_of": ("best trial", lambda row: row["sweep"].best_of.casefold()),
    "driver": ("run by", lambda row: row["driver"].casefold()),
}
"""The columns of the list of sweeps: the heading of each, and what sorts the rows by it."""

_NUMBERS = ("started", "progress", "hours", "best")
"""The columns that are sorted from the largest, or the best, value on."""


def _order(find: str, sort: str, column: str) -> Markup:
    """The attributes of a column's heading, and a link that sorts by it, or the other way round."""
    is_sorted, is_reversed = sort.removeprefix("-") == column, sort.startswith("-")
    descends = (column in _NUMBERS) != is_reversed
    query = urlencode({"find": find, "sort": f"-{column}" if sort == column else column})
    return Markup('<th scope="col"{}{}><a href="?{}">{}</a></th>').format(
        Markup(' class="number"') if column in ("hours", "best") else "",
        Markup(' aria-sort="{}"').format("descending" if descends else "ascending")
        if is_sorted
        else "",
        query,
        _COLUMNS[column][0],
    )


_environment.globals |= {
    "columns": list(_COLUMNS),
    "order": _order,
    "sweep_url": sweep_url,
    "hours": _hours,
    "impossible_times": impossible_times,
    "version": version("snn-norm"),
}


def listed(
    sweeps: Sequence[SweepSummary], drivers: Mapping[str, str], find: str, sort: str
) -> list[dict[str, Any]]:
    """Rows of the list of sweeps.

    Args:
        find: words that all must be in a sweep's name, its status or its best cell.
        sort: the name of a column; after a minus sign the other way round.
    """
    words = find.casefold().split()
    rows = []
    for sweep in sweeps:
        whole = f"{sweep.name} {sweep.status} {sweep.best_of}".casefold()
        if all(word in whole for word in words):
            share = sweep.finished / sweep.expected if sweep.expected else 0.0
            driver = driver_in_short(sweep.status, drivers.get(sweep.name))
            rows.append({"sweep": sweep, "share": share, "driver": driver})
    _, order = _COLUMNS.get(sort.removeprefix("-"), ("", None))
    return sorted(rows, key=order, reverse=sort.startswith("-")) if order else rows
