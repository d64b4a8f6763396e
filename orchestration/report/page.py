"""The report as one page that needs nothing from outside it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from orchestration.reading.provenance import Provenance
from orchestration.report.data import Answers
from orchestration.report.figure_style import Picture, inline_svg
from orchestration.report.formats import html
from orchestration.report.headline import NETWORKS, headline, headline_cells
from orchestration.report.table import Table, axis_columns, decimal, lacks_of, percent, table_of

__all__ = ["page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_OPEN = 40
"""Trials beyond which their table is folded away."""


def page(
    answers: Answers, provenance: Provenance | None, pictures: Sequence[tuple[Picture, str]]
) -> str:
    """Write the page.

    Args:
        answers: the sweep's numbers.
        provenance: where they come from; None where MLflow could not be asked.
        pictures: each with its SVG.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    lacks = lacks_of(answers.best)
    return (
        template.render(
            name=answers.name,
            summary=_summary(answers),
            headline=html(_linked_headline(answers, provenance)),
            ratio=_ratio(answers.gap),
            lacking=[f"{answers.label(cell)}: {lack}" for cell, lack in enumerate(lacks) if lack],
            cells=html(_linked_cells(answers, provenance)),
            choice=html(_aligned(_choice(answers))),
            differences=html(table_of(answers.differences)) if len(answers.differences) else "",
            pictures=[
                {
                    "name": picture.name,
                    "title": picture.title,
                    "caption": picture.caption,
                    "svg": inline_svg(picture, svg),
                }
                for picture, svg in pictures
            ],
            trials=_trials(answers, provenance),
            trials_open=len(answers.trials) <= _MOST_OPEN,
            provenance=provenance,
            version=version("snn-norm"),
        )
        + "\n"
    )


def _summary(answers: Answers) -> str:
    best, trials = answers.best, answers.trials
    parts = [f"{len(trials)} of {int(best['n_expected'].sum())} trials have finished"]
    for outcome in ("collapsed", "diverged"):
        if count := int((trials["outcome"] == outcome).sum()):
            parts.append(f"{count} {outcome}")
    settings = [
        words.format(trials[name].iloc[0])
        for name, words in (("dataset", "Data set {}"), ("epochs", "{} epochs"))
        if name in trials and trials[name].nunique(dropna=False) == 1
    ]
    told = ", ".join(settings)
    return f"{told}. {', '.join(parts)}." if told else f"{', '.join(parts)}."


def _ratio(gap: pd.DataFrame) -> str:
    """How much more a spiking network depends on its norm, in a sentence; empty if not known."""
    if len(gap) != 2 or set(gap["architecture"]) != set(NETWORKS):
        return ""
    ratio = float(gap.loc[gap["architecture"] == "snn", "ratio"].iloc[0])
    if math.isnan(ratio):
        return ""
    text = f"The spiking network's gap is {ratio:.1f} times the artificial one's."
    return (
        f"{text} Not every seed has finished."
        if any("incomplete" in note for note in gap["note"])
        else text
    )


def _linked_headline(answers: Answers, provenance: Provenance | None) -> Table:
    table = headline(answers.best, answers.gap)
    first = len(axis_columns(answers.gap))
    for row, cells in enumerate(headline_cells(answers.best, answers.gap)):
        for column, cell in enumerate(cells.values()):
            if cell is not None:
                _link(table, row, first + column, _best_url(answers, provenance, cell))
    return table


def _linked_cells(answers: Answers, provenance: Provenance | None) -> Table:
    table = table_of(answers.best)
    columns = {name: table.headings.index(name) for name in ("best %", "mean %", "seeds")}
    for cell in range(len(answers.best)):
        _link(table, cell, columns["best %"], _best_url(answers, provenance, cell))
        runs = answers.trials.loc[answers.trials["cell"] == cell, "run_id"]
        url = provenance.runs_url(runs) if provenance and len(runs) else ""
        _link(table, cell, columns["mean %"], url)
        _link(table, cell, columns["seeds"], url)
    return table


def _choice(answers: Answers) -> pd.DataFrame:
    """What choosing an epoch and a seed by their test accuracy adds, cell by cell."""
    table = answers.best[answers.axes].copy()
    table["last epoch %"] = answers.last["mean"].map(percent)
    table["best epoch %"] = answers.best["mean"].map(percent)
    for n in sorted(set(answers.expected["n"])):
        of_n = answers.expected[answers.expected["n"] == n]
        by_cell = answers.best[answers.axes].merge(of_n, on=answers.axes, how="left")
        if n > 1:
            table[f"best of {n} %"] = by_cell["expected_best"].map(percent)
    return table


def _link(table: Table, row: int, column: int, url: str) -> None:
    table.rows[row][column] = replace(table.rows[row][column], href=url)


def _best_url(answers: Answers, provenance: Provenance | None, cell: int) -> str:
    """The page of the run that a cell's best is from."""
    trials, seed = answers.trials, answers.best["best_seed"].iloc[cell]
    if provenance is None or pd.isna(seed):
        return ""
    of_cell = trials[trials["cell"] == cell]
    return provenance.run_url(of_cell.loc[of_cell["seed"] == seed, "run_id"].iloc[0])


def _trials(answers: Answers, provenance: Provenance | None) -> Markup:
    trials = answers.trials
    seconds = answers.curves.groupby("run_id")["epoch_seconds"].sum()
    named = [name for name in (*answers.axes, "seed", "outcome") if name in trials]
    columns = {
        **{name: trials[name] for name in named},
        "best %": trials["best_test_accuracy"].map(percent),
        "in epoch": trials["best_epoch"],
        "last %": trials["last_test_accuracy"].map(percent),
        "minutes": (trials["run_id"].map(seconds).astype(float) / 60).map(decimal),
        "run": trials["run_id"],
    }
    table = _aligned(pd.DataFrame(columns))
    for row, run_id in enumerate(trials["run_id"]):
        _link(table, row, len(table.headings) - 1, provenance.run_url(run_id) if provenance else "")
    return html(table)


def _aligned(frame: pd.DataFrame) -> Table:
    """A frame of texts whose columns of numbers, by their names, are aligned as such."""
    table = table_of(frame)
    numeric = [
        is_number or heading.endswith("%") or heading == "minutes"
        for heading, is_number in zip(table.headings, table.numeric, strict=True)
    ]
    return replace(table, numeric=numeric)
