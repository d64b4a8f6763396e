"""The report as one page that needs nothing from outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.report.data import Answers
from orchestration.report.figures.style import Picture, inline_svg
from orchestration.report.tables.formats import html
from orchestration.report.tables.headline import headline
from orchestration.report.tables.layouts import has_more_norms, table_of
from orchestration.report.tables.table import Table, decimal, unit_of

__all__ = ["page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_OPEN = 40
"""Trials beyond which their table is folded away."""
_MOST_BEST_OF = 10
"""Numbers of seeds that have a column each; beyond, only that of all seeds has one."""


def page(answers: Answers, pictures: Sequence[tuple[Picture, str]]) -> str:
    """Write the page.

    Args:
        answers: the sweep's numbers, and where they come from.
        pictures: each with its SVG.
    """
    environment = Environment(autoescape=True, undefined=StrictUndefined)
    template = environment.from_string(_TEMPLATE.read_text(encoding="utf-8"))
    lacks = enumerate(answers.lacks)
    tables = {
        **_of_norms(answers),
        "tuned": _optional(answers.tuned_gap),
        "basin": _optional(answers.basin),
        "energy": _optional(answers.energy),
        "cells": _linked_cells(answers),
        "choice": _choice(answers),
        "differences": _optional(answers.differences, answers.metric),
        "ranks": _optional(answers.ranks),
        "decisions": _optional(answers.decisions, answers.metric),
        "trials": _trials(answers),
    }
    return (
        template.render(
            name=answers.name,
            summary=_summary(answers),
            ratio=_ratio(answers.gap, answers.best) if answers.gap is not None else "",
            metric=answers.metric,
            lacking=[f"{answers.label(cell)}: {lack}" for cell, lack in lacks if lack],
            **{name: html(table) if table and table.rows else "" for name, table in tables.items()},
            pictures=[
                {
                    "name": picture.name,
                    "title": picture.title,
                    "caption": picture.caption,
                    "svg": inline_svg(picture, svg),
                }
                for picture, svg in pictures
            ],
            trials_open=len(answers.trials) <= _MOST_OPEN,
            provenance=answers.provenance,
            version=version("snn-norm"),
        )
        + "\n"
    )


def _of_norms(answers: Answers) -> dict[str, Table | None]:
    """The tables of norms; none with training code of the user's own."""
    gaps = answers.norm_gaps
    if gaps is None:
        return {"headline": None, "norms": None}
    return {
        "headline": headline(answers.best, lambda cell: _best_url(answers, cell)),
        "norms": _linked_norms(answers, gaps) if has_more_norms(gaps) else None,
    }


def _summary(answers: Answers) -> str:
    best, trials = answers.best, answers.trials
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
    told = ", ".join(settings)
    return f"{told}. {', '.join(parts)}." if told else f"{', '.join(parts)}."


def _ratio(gap: pd.DataFrame, best: pd.DataFrame) -> str:
    """How much more a spiking network depends on its norm, in a sentence; empty if not known."""
    known = gap[(gap["architecture"] == "snn") & gap["ratio"].notna()] if len(gap) else gap
    if len(known) != 1:
        return ""
    text = f"The spiking network's gap is {known['ratio'].iloc[0]:.1f} times the artificial one's."
    incomplete = (best["n_seeds"] > 0) & (best["n_seeds"] < best["n_expected"])
    return f"{text} Not every seed has finished." if incomplete.any() else text


def _optional(frame: pd.DataFrame | None, metric: Metric = TEST_ACCURACY) -> Table | None:
    return None if frame is None else table_of(frame, metric)


def _linked_norms(answers: Answers, norm_gaps: pd.DataFrame) -> Table:
    table = table_of(norm_gaps)
    for row, cell in enumerate(norm_gaps.index):
        _link(table, row, table.headings.index("norm %"), _best_url(answers, cell))
    return table


def _linked_cells(answers: Answers) -> Table:
    table, unit = table_of(answers.best, answers.metric), unit_of(answers.metric)
    best, mean, seeds = map(table.headings.index, (f"best{unit}", f"mean{unit}", "seeds"))
    for cell in range(len(answers.best)):
        _link(table, cell, best, _best_url(answers, cell))
        runs = answers.trials.loc[answers.trials["cell"] == cell, "run_id"]
        url = answers.provenance.runs_url(runs) if len(runs) else ""
        _link(table, cell, mean, url)
        _link(table, cell, seeds, url)
    return table


def _choice(answers: Answers) -> Table:
    """What choosing an epoch and a seed by their test accuracy adds, cell by cell."""
    table = answers.best[answers.axes].copy()
    number, unit = answers.metric.number, unit_of(answers.metric)
    table[f"last epoch{unit}"] = answers.last["mean"].map(number)
    table[f"best epoch{unit}"] = answers.best["mean"].map(number)
    by_n = answers.expected.pivot(index="cell", columns="n", values="expected_best")
    most = by_n.shape[1]
    for n in [n for n in range(2, most + 1) if n <= _MOST_BEST_OF or n == most]:
        table[f"best of {n}{unit}"] = by_n[n].reindex(table.index).map(number)
    return _aligned(table, [str(name) for name in table if name not in answers.axes])


def _link(table: Table, row: int, column: int, url: str) -> None:
    table.rows[row][column] = replace(table.rows[row][column], href=url)


def _best_url(answers: Answers, cell: int) -> str:
    """The page of the run that a cell's best is from."""
    trials, seed = answers.trials, answers.best["best_seed"].iloc[cell]
    if pd.isna(seed):
        return ""
    of_cell = trials[trials["cell"] == cell]
    return answers.provenance.run_url(of_cell.loc[of_cell["seed"] == seed, "run_id"].iloc[0])


def _trials(answers: Answers) -> Table:
    trials = answers.trials
    seconds = answers.curves.groupby("run_id")["epoch_seconds"].sum()
    named = [name for name in (*answers.axes, "seed", "outcome") if name in trials]
    metric, unit = answers.metric, unit_of(answers.metric)
    last = trials.get(metric.last_name, pd.Series(float("nan"), trials.index))
    columns = {
        **{name: trials[name] for name in named},
        f"best{unit}": trials[metric.best_name].map(metric.number),
        "in epoch": trials["best_epoch"],
        f"last{unit}": last.map(metric.number),
        "minutes": (trials["run_id"].map(seconds).astype(float) / 60).map(decimal),
        "run": trials["run_id"],
    }
    table = _aligned(pd.DataFrame(columns), [f"best{unit}", f"last{unit}", "minutes"])
    for row, run_id in enumerate(trials["run_id"]):
        _link(table, row, len(table.headings) - 1, answers.provenance.run_url(run_id))
    return table


def _aligned(frame: pd.DataFrame, columns: Sequence[str]) -> Table:
    """A frame's table with these columns of texts aligned as numbers."""
    table = table_of(frame)
    numeric = [number or name in columns for name, number in zip(frame, table.numeric, strict=True)]
    return replace(table, numeric=numeric)
