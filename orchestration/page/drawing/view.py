"""From numbers to HTML: the pages' templates, and what stands in them. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestration.execution.driven_by import driver_in_short
from orchestration.model.durations import duration
from orchestration.model.epoch_seconds import impossible_times
from orchestration.model.metric import Metric
from orchestration.page.drawing.listing import Listed
from orchestration.page.drawing.text import harmless, shown
from orchestration.record.names import TRAINING_PAGES
from orchestration.render.html import html
from orchestration.render.table import NO_NUMBER, unit_of
from orchestration.tables import comparison


def sweep_url(base: str, name: str, page: str = "") -> str:
    """The address of a sweep's page."""
    return f"{base}/sweeps/{quote(name, safe='')}{page}"


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


def amount(value: float | None, metric: Metric) -> str:
    """A value of a metric with its unit, if it has one."""
    return NO_NUMBER if value is None else metric.number(value) + unit_of(metric)


def _time(seconds: float | None) -> Markup | str:
    """A time as the server's clock has it; scripts put the reader's own in its place."""
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
_environment.filters |= {
    "shown": shown,
    "amount": amount,
    "time": _time,
    "duration": duration,
}


def render(template: str, **values: Any) -> str:
    """A piece of a page."""
    return harmless(_environment.get_template(f"{template}.html").render(**values))


def document(template: str, base: str, **values: Any) -> str:
    """A whole page."""
    return render(template, base=base, **values)


def message(base: str, title: str, text: str) -> str:
    """A page that says one thing."""
    return document("message", base, title=title, text=text)


_environment.globals |= {
    "sweep_url": sweep_url,
    "hours": _hours,
    "impossible_times": impossible_times,
    "version": version("snn-norm"),
}


SORTS = {
    "started": "last started",
    "name": "name",
    "status": "status",
    "progress": "progress",
    "hours": "hours",
    "best": "best",
}
"""Ways to sort the list of sweeps, and how they are called."""


def listed(
    sweeps: Sequence[Listed], drivers: Mapping[str, str], find: str, sort: str
) -> list[dict[str, Any]]:
    """Rows of the list of sweeps.

    Args:
        sweeps: those that may be seen, the last started first.
        drivers: who drives which.
        find: words that all must be in a sweep's name, its status or its best cell.
        sort: one of SORTS.
    """
    words = find.casefold().split()
    rows = []
    for one in sweeps:
        view = one.overview
        whole = f"{view.name} {view.status} {one.best_of}".casefold()
        if all(word in whole for word in words):
            share = view.finished / view.expected if view.expected else 0.0
            driver = driver_in_short(view.status, drivers.get(view.name))
            rows.append({"sweep": one, "view": view, "share": share, "driver": driver})
    orders = {
        "name": lambda row: row["view"].name.casefold(),
        "status": lambda row: row["view"].status,
        "progress": lambda row: row["share"],
        "hours": lambda row: -row["sweep"].hours,
        "best": lambda row: _by_best(row["sweep"]),
    }
    return sorted(rows, key=orders[sort]) if sort in orders else rows


def compared(
    base: str,
    name: str,
    other: str,
    table: pd.DataFrame,
    metric: Metric,
    names: Sequence[str],
    forms: Mapping[str, str],
) -> str:
    """The page of two sweeps side by side."""
    shown_table = html(comparison.TABLE.table(table, metric))
    return document(
        "compare", base, name=name, other=other, table=shown_table, names=names, forms=forms
    )


def _by_best(sweep: Listed) -> tuple[bool, str, float]:
    """Accuracies first, the largest before the others; then metric by metric, its best first."""
    metric = sweep.metric
    value = float("inf") if sweep.best is None else -metric.sign * sweep.best
    return not metric.is_fraction, metric.name, value
