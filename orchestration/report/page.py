"""The report as one page that needs nothing from outside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pandas as pd
from jinja2 import Environment, StrictUndefined

from orchestration.report.data import Answers
from orchestration.report.figure_style import Picture, inline_svg
from orchestration.report.formats import html
from orchestration.report.headline import headline
from orchestration.report.layouts import has_more_norms, table_of
from orchestration.report.table import Table, decimal, percent

__all__ = ["page"]

_TEMPLATE = Path(__file__).with_name("page.html")
_MOST_OPEN = 40
"""Trials beyond which their table is folded away."""


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
        "headline": headline(answers.best, lambda cell: _best_url(answers, cell)),
        "norms": _linked_norms(answers) if has_more_norms(answers.norm_gaps) else None,
        "tuned": _optional(answers.tuned_gap),
        "basin": _optional(answers.basin),
        "cells": _linked_cells(answers),
        "choice": _choice(answers),
        "differences": table_of(answers.differences),
        "ranks": _optional(answers.ranks),
        "decisions": _optional(answers.decisions),
        "trials": _trials(answers),
    }
    return (
        template.render(
            name=answers.name,
            summary=_summary(answers),
            ratio=_ratio(answers),
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


def _ratio(answers: Answers) -> str:
    """How much more a spiking network depends on its norm, in a sentence; empty if not known."""
    gap = answers.gap
    known = gap[(gap["architecture"] == "snn") & gap["ratio"].notna()] if len(gap) else gap
    if len(known) != 1:
        return ""
    text = f"The spiking network's gap is {known['ratio'].iloc[0]:.1f} times the artificial one's."
    best = answers.best
    incomplete = (best["n_seeds"] > 0) & (best["n_seeds"] < best["n_expected"])
    return f"{text} Not every seed has finished." if incomplete.any() else text


def _optional(frame: pd.DataFrame | None) -> Table | None:
    return None if frame is None else table_of(frame)


def _linked_norms(answers: Answers) -> Table:
    table = table_of(answers.norm_gaps)
    for row, cell in enumerate(answers.norm_gaps.index):
        _link(table, row, table.headings.index("norm %"), _best_url(answers, cell))
    return table


def _linked_cells(answers: Answers) -> Table:
    table = table_of(answers.best)
    columns = {name: table.headings.index(name) for name in ("best %", "mean %", "seeds")}
    for cell in range(len(answers.best)):
        _link(table, cell, columns["best %"], _best_url(answers, cell))
        runs = answers.trials.loc[answers.trials["cell"] == cell, "run_id"]
        url = answers.provenance.runs_url(runs) if len(runs) else ""
        _link(table, cell, columns["mean %"], url)
        _link(table, cell, columns["seeds"], url)
    return table


def _choice(answers: Answers) -> Table:
    """What choosing an epoch and a seed by their test accuracy adds, cell by cell."""
    table = answers.best[answers.axes].copy()
    table["last epoch %"] = answers.last["mean"].map(percent)
    table["best epoch %"] = answers.best["mean"].map(percent)
    by_n = answers.expected.pivot(index="cell", columns="n", values="expected_best")
    for n in [n for n in by_n if n != 1]:
        table[f"best of {n} %"] = by_n[n].reindex(table.index).map(percent)
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
    columns = {
        **{name: trials[name] for name in named},
        "best %": trials["best_test_accuracy"].map(percent),
        "in epoch": trials["best_epoch"],
        "last %": trials["last_test_accuracy"].map(percent),
        "minutes": (trials["run_id"].map(seconds).astype(float) / 60).map(decimal),
        "run": trials["run_id"],
    }
    table = _aligned(pd.DataFrame(columns), ["best %", "last %", "minutes"])
    for row, run_id in enumerate(trials["run_id"]):
        _link(table, row, len(table.headings) - 1, answers.provenance.run_url(run_id))
    return table


def _aligned(frame: pd.DataFrame, columns: Sequence[str]) -> Table:
    """A frame's table with these columns of texts aligned as numbers."""
    table = table_of(frame)
    numeric = [number or name in columns for name, number in zip(frame, table.numeric, strict=True)]
    return replace(table, numeric=numeric)
