"""The report as one page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from html import escape
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from orchestration.render.figures import Picture, inline_svg
from orchestration.render.html import html
from orchestration.tables import trials
from orchestration.tables.definition import Section, TableDefinition
from orchestration.tables.registry import tables_of
from orchestration.tables.report_data import ReportData

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_OPEN = 40
"""Trials beyond which their table is folded away."""


def page(data: ReportData, pictures: Sequence[tuple[Picture, str]]) -> str:
    """Write the page, with each picture's SVG."""
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    lacks = enumerate(data.lacks)
    return (
        template.render(
            name=data.name,
            summary=_summary(data),
            lacking=[f"{data.label(cell)}: {lack}" for cell, lack in lacks if lack],
            sections=_sections(data),
            trials=_table(trials.TABLE, data, data.once(trials.TABLE.frame)),
            pictures=[(picture, inline_svg(picture, svg)) for picture, svg in pictures],
            trials_open=len(data.trials) <= _MOST_OPEN,
            provenance=data.provenance,
            version=version("snn-norm"),
        )
        + "\n"
    )


def _sections(data: ReportData) -> list[dict[str, Any]]:
    """Each section with its tables, in the order of the registry."""
    sections: dict[str, dict[str, Any]] = {}
    for name, table, frame in tables_of(data):
        section = table.section
        if section is None or not table.is_worth_showing(frame):
            continue
        shown = _table(table, data, frame)
        if shown and not section.under:
            sections[name] = {"section": section, "parts": [_part(section, data, shown)]}
        elif shown and section.under in sections:
            sections[section.under]["parts"].append(_part(section, data, shown))
    return list(sections.values())


def _part(section: Section, data: ReportData, table: Markup) -> dict[str, Any]:
    text = section.text(data.metric) if callable(section.text) else section.text
    sentence = section.sentence(data) if section.sentence else ""
    return {
        "section": section,
        "text": Markup(escape(text, quote=False)),
        "table": table,
        "sentence": sentence,
    }


def _table(definition: TableDefinition, data: ReportData, frame: pd.DataFrame | None) -> Markup:
    """A table whose numbers lead to their runs; empty without rows."""
    assert frame is not None
    table = definition.table(frame, data.metric)
    for heading, urls in (definition.links(data, frame) if definition.links else {}).items():
        column = table.headings.index(heading)
        for row, url in zip(table.rows, urls, strict=True):
            row[column] = replace(row[column], href=url)
    return html(table) if table.rows else Markup()


def _summary(data: ReportData) -> str:
    best, trials = data.best, data.trials
    parts = [f"{len(trials)} of {int(best['n_expected'].sum())} trials have finished"]
    for outcome in ("collapsed", "diverged"):
        if count := int((trials["outcome"] == outcome).sum()):
            parts.append(f"{count} {outcome}")
    settings = [
        words.format(trials[name].iloc[0])
        for name, words in (
            ("train", "Training by {}"),
            ("dataset", "Data set {}"),
            ("epochs", "{} epochs"),
        )
        if name in trials and trials[name].nunique(dropna=False) == 1
    ]
    conditions = ", ".join(settings)
    return f"{conditions}. {', '.join(parts)}." if conditions else f"{', '.join(parts)}."
