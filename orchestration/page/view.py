"""From numbers to HTML: the pages' templates, and what stands in them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any
from urllib.parse import quote

import pandas as pd
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from orchestration.page.charts import chart, curves_of, key
from orchestration.page.grid import LEVELS, grid_page
from orchestration.page.pieces import Page
from orchestration.page.read import Listed, Sweep
from orchestration.page.state import MOST_DRAWN, Cell
from orchestration.page.text import harmless, shown
from orchestration.progress.state import duration
from orchestration.record.names import TRAINING_PAGES
from orchestration.report.formats import html
from orchestration.report.layouts import table_of
from orchestration.report.table import percent
from snn_norm.norms.table import label_of

__all__ = ["SORTS", "compared", "document", "listed", "message", "sections", "sweep_url"]

_MOST_FAILURES = 50
_MOST_DIFFERENCES = 200
"""Rows of differences between norms that are shown; the report has all."""


def sweep_url(base: str, name: str, page: str = "") -> str:
    """The address of a sweep's page."""
    return f"{base}/sweeps/{quote(name, safe='')}{page}"


def _run_url(base: str, experiment: str, run: str) -> str:
    return f"{base}/#/experiments/{experiment}/runs/{run}?{TRAINING_PAGES}"


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
    "percent": percent,
    "time": _time,
    "label": label_of,
    "duration": duration,
}


def _render(template: str, **values: Any) -> str:
    return harmless(_environment.get_template(f"{template}.html").render(**values))


def document(template: str, base: str, **values: Any) -> str:
    """A whole page."""
    return _render(template, base=base, **values)


def message(base: str, title: str, text: str) -> str:
    """A page that says one thing."""
    return document("message", base, title=title, text=text)


def sections(base: str, sweep: Sweep, driver: str | None, events: Sequence[str]) -> Page:
    """What moves on a sweep's page.

    Args:
        base: what the server's addresses begin with.
        sweep: as it stands.
        driver: who drives it, as far as this machine knows.
        events: lines, the newest last.
    """
    experiment = sweep.records.experiment_id

    def run_url(run: str) -> str:
        return _run_url(base, experiment, run)

    grid, finished = sweep.grid, sweep.finished
    written = grid_page(grid, run_url)
    norms = list(dict.fromkeys(cell.values.get("norm", "") for cell in grid.cells))
    drawn = grid.drawn()
    panels = [(_setting(cells[0]), curves_of(cells, sweep.curves)) for cells in drawn]
    panels = [(title, curves) for title, curves in panels if curves]
    shown_norms = [norm for norm in norms if any(norm == c.norm for _, cs in panels for c in cs)]
    table = finished.decisions if finished.decisions is not None else finished.differences
    return Page(
        {
            "status": _render("status", sweep=sweep, driver=driver, run_url=run_url, base=base),
            **written.sections,
            "scale": _render("scale", grid=grid, levels=range(LEVELS)),
            "verdicts": _render(
                "verdicts",
                declared=finished.decisions is not None,
                many=table is None,
                table="" if table is None or table.empty else _table(table),
                left_out=0 if table is None else max(0, len(table) - _MOST_DIFFERENCES),
            ),
            "curves": _render(
                "curves",
                panels=[chart(title, curves, norms) for title, curves in panels],
                key=key(shown_norms) if panels else "",
                left_out=max(0, len(grid.settings()) - MOST_DRAWN),
            ),
            "rates": _render("rates", **_rates(drawn, finished.rates)),
            "failures": _render(
                "failures",
                failures=sweep.failures[:_MOST_FAILURES],
                left_out=max(0, len(sweep.failures) - _MOST_FAILURES),
                run_url=run_url,
            ),
            "events": _render("events", events=list(reversed(events))),
        },
        written.cells,
    )


def _table(frame: pd.DataFrame) -> Markup:
    return html(table_of(frame.head(_MOST_DIFFERENCES)))


def _setting(cell: Cell) -> str:
    """A cell without its norm, in words."""
    further = [axis for axis in cell.values if axis not in ("architecture", "norm")]
    others = [f"{axis} {cell.values[axis]}" for axis in further]
    return shown(", ".join([cell.values.get("architecture", ""), *others]).strip(", ") or "all")


def _label(cell: Cell) -> str:
    return f"{_setting(cell)}, {shown(label_of(cell.values.get('norm', '')))}"


_environment.globals |= {
    "sweep_url": sweep_url,
    "hours": _hours,
    "cell_label": _label,
    "version": version("snn-norm"),
}


def _rates(drawn: Sequence[Sequence[Cell]], rates: pd.DataFrame) -> dict[str, Any]:
    rows = []
    for cell in (cell for cells in drawn for cell in cells if cell.number in rates.index):
        values = rates.loc[[cell.number]].to_numpy(float)[0].tolist()
        rows.append({"cell": _label(cell), "rates": [None if math.isnan(v) else v for v in values]})
    return {"layers": [shown(name, 40) for name in map(str, rates)], "rows": rows}


SORTS = {
    "started": "last started",
    "name": "name",
    "status": "status",
    "progress": "progress",
    "hours": "hours",
    "best": "best accuracy",
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
            rows.append({"sweep": one, "view": view, "share": share,
                         "driver": drivers.get(view.name, "")})  # fmt: skip
    orders = {
        "name": lambda row: row["view"].name.casefold(),
        "status": lambda row: row["view"].status,
        "progress": lambda row: row["share"],
        "hours": lambda row: -row["sweep"].hours,
        "best": lambda row: -(row["sweep"].best or 0.0),
    }
    return sorted(rows, key=orders[sort]) if sort in orders else rows


def compared(
    base: str,
    name: str,
    other: str,
    table: pd.DataFrame,
    names: Sequence[str],
    forms: Mapping[str, str],
) -> str:
    """The page of two sweeps side by side."""
    shown_table = html(table_of(table))
    return document(
        "compare", base, name=name, other=other, table=shown_table, names=names, forms=forms
    )
