"""What a template of the evidence page may ask for.

    {{ table("SWEEP", "TABLE", norm=["none", "bntt"]) }}   a table of a report, whole or these of
                                                          its rows: orchestration.tables.registry
    {{ number("SWEEP", "COLUMN", "snn", "bntt") }}         a number of these tables: its column,
                                                          what tells its row apart
    {{ mean("SWEEP", "last_train_accuracy", norm="bntt") }}   of these trials, in percent
    {{ collapsed("SWEEP", norm="none") }}                  how many of its cells collapsed, in part
    {{ figure("SWEEP", "FIGURE") }}                        a figure of its report, and its caption
    {{ why("SWEEP", norm=["none", "bntt"]) }}              its figure "why", of these cells alone
    {{ separation("SWEEP", …) }}                           which diagnostics tell trials that train
                                                          from the others, in these sweeps
    {{ norm_effects("SWEEP", norm="bntt") }}              what norms add, and to the standard one
    {{ tuned_gaps("SWEEP", ["slope"], …) }}               what is left of the gap, settings selected
    {{ grid("SWEEP", ["depth"], ["norm"]) }}              mean accuracies by values of these axes
    {{ gains_by_slope() }}                                what layers pass on of a gradient
    {{ spec("SWEEP") }}                                    its spec as YAML
    {{ origin("SWEEP") }}                                  its file, trials, machines and versions
    {% for sweep in sweeps %}                              all names, in order

A sentence that compares is a claim, which is checked: :mod:`benchmarks.evidence.claims`. Its sides
are numbers, or columns of frames, which are pandas':

    frame("SWEEP", "TABLE", norm="bntt")    rows of a table, of the cells, of the trials, of the
                                            settings of a search, of its gaps by budget, or of
                                            its verdicts under the exact null hypothesis
    accuracies("SWEEP", norm=["none", …])   test accuracies in percent, by seed (rows) and cell
    layers("SWEEP", "rate", 0, …)           a diagnostic in that epoch, by layer (rows) and cell
    gaps("SWEEP", ["slope"], …)             those of the table of tuned gaps
    areas("SWEEP", …), mistakes("SWEEP", …) those of the table of what separates trials
    last_rates("completed", "SWEEP", …)     of the last layer before the first step, of such trials
    starts()                                what is left of a gradient, by network
    ratio("SWEEP")                          of the networks' gaps of means, and its interval's ends
"""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmarks.evidence import norm_effects, selection, starts
from benchmarks.evidence.mechanism import areas, mistakes, rows_of, separation
from orchestration.errors import InputError
from orchestration.record.names import BEST_TEST_ACCURACY
from orchestration.render.figures import Picture, style
from orchestration.render.markdown import markdown
from orchestration.render.table import as_text
from orchestration.report.figures.draw import draw
from orchestration.report.figures.why import why
from orchestration.results.columns import plain
from orchestration.results.deciding.decisions import decisions
from orchestration.results.results import Results
from orchestration.results.sweep_reader import declaring_spec, named_cells
from orchestration.sweep.stopping import UntilDecided
from orchestration.tables.definition import TableDefinition
from orchestration.tables.numbers import Number, numbers_of
from orchestration.tables.registry import TABLES
from orchestration.tables.report_data import ReportData, read_report_data
from snn_norm.wording import not_among

SLOTS = (
    "table", "printed", "number", "mean", "collapsed", "figure", "why", "separation",
    "norm_effects", "tuned_gaps", "gaps", "ratio", "grid", "spec", "origin", "frame", "accuracies",
    "layers", "areas", "mistakes", "last_rates", "starts", "gains_by_slope",
)  # fmt: skip


# Both pages are made of the same files.
@functools.cache
def _results(path: Path) -> Results:
    return Results(str(path))


@functools.cache
def _report_data(path: Path) -> ReportData:
    return read_report_data(_results(path))


class Slots:
    """What a template may ask for."""

    def __init__(self, archives: Collection[Path], folder: str) -> None:
        self.files: dict[str, Path] = {}
        self.pictures: dict[str, Picture] = {}
        self._folder = folder
        self._results: dict[str, Results] = {}
        for path in sorted(archives):
            results = _results(path.absolute())
            if results.name in self.files:
                raise InputError(f"{self.files[results.name]} and {path} are of the same sweep")
            self.files[results.name], self._results[results.name] = path, results
        self._start = functools.cache(lambda sweep: rows_of(self._results[sweep]))
        self._drawn = functools.cache(self._draw)
        self._numbers = functools.cache(lambda sweep: list(numbers_of(self._data(sweep))))

    def table(self, sweep: str, name: str, **where: Any) -> str:
        """A table in Markdown: those rows whose columns have these values, or one of them."""
        _check("table", name, TABLES)
        frame = TABLES[name].of(self._data(sweep))
        if frame is None:
            raise InputError(f"sweep {sweep!r} has no table {name!r}")
        return markdown(TABLES[name].table(_rows(frame, where, f"table {name!r} of {sweep!r}")))

    def printed(self, sweep: str, name: str) -> str:
        """A table as a terminal shows it, as a block of Markdown."""
        _check("table", name, TABLES)
        frame = TABLES[name].of(self._data(sweep))
        if frame is None:
            raise InputError(f"sweep {sweep!r} has no table {name!r}")
        return textwrap.indent(TABLES[name].write(frame, "table"), "    ")

    def collapsed(self, sweep: str, **where: Any) -> str:
        """How many of such cells have seeds that collapsed, as in ``3 of 24``."""
        cells = _rows(self._data(sweep).best, where, f"sweep {sweep!r}")
        return f"{(cells['n_collapsed'] > 0).sum()} of {len(cells)}"

    def number(self, sweep: str, column: str, *where: str) -> str:
        """A number, as tables show it."""
        found: list[Number] = [one for one in self._numbers(sweep) if one.where == where]
        if not found:
            known = {", ".join(one.where) for one in self._numbers(sweep)}
            raise InputError(f"sweep {sweep!r} has no row {not_among(known, ', '.join(where))}")
        by_column = {one.column: one.text for one in found}
        _check("number", column, by_column)
        return by_column[column]

    def mean(self, sweep: str, column: str, **where: Any) -> str:
        """A share's mean over trials, in percent."""
        trials = self._data(sweep).trials
        _check("column", column, [str(name) for name in trials.columns])
        return f"{100 * _rows(trials, where, f'sweep {sweep!r}')[column].mean():.2f}"

    def norm_effects(self, sweep: str, **where: Any) -> str:
        """What each norm adds to none, and its difference to the standard one, in Markdown."""
        rows = self.frame(sweep, "norm_effects", **where)
        return markdown(norm_effects.TABLE.table(rows))

    def ratio(self, sweep: str) -> tuple[float, float, float]:
        """The spiking network's gap of means over the artificial one's, and its interval's ends."""
        return norm_effects.ratio_of_gaps(self._data(sweep))

    def tuned_gaps(self, sweep: str, held: Sequence[str], **where: Any) -> str:
        """The gap at selected settings, in Markdown."""
        return markdown(selection.TABLE.table(self.gaps(sweep, held, **where)))

    def gaps(self, sweep: str, held: Sequence[str], **where: Any) -> pd.DataFrame:
        """The numbers of that table."""
        return selection.tuned_gaps(self._data(sweep), held, **where)

    def grid(self, sweep: str, rows: list[str], columns: list[str], **where: Any) -> str:
        """Mean accuracies in percent and how many seeds collapsed, in Markdown."""
        cells = _rows(self._data(sweep).best, where, f"sweep {sweep!r}")
        cells["text"] = [_mean_in_words(cell) for cell in cells.to_dict("records")]
        cells["column"] = [
            " ".join(one if isinstance(one, str) else f"{axis} {as_text(one)}" for axis, one in of)
            for of in (zip(columns, cell, strict=True) for cell in cells[columns].to_numpy(object))
        ]
        wide = cells.pivot(index=rows, columns="column", values="text")
        in_order = cells[rows].drop_duplicates()
        table = in_order.merge(wide[cells["column"].unique()].reset_index(), on=rows)
        return markdown(TableDefinition().table(table))

    def starts(self) -> pd.DataFrame:
        """What is left of a gradient before the first step: one row per network, seeds' medians."""
        axes = [axis for axis in starts.AXES if axis != "seed"]
        recorded = pd.read_csv(starts.RECORDED, keep_default_na=False)
        return recorded.groupby(axes, sort=False)[["passed", "gain"]].median().reset_index()

    def gains_by_slope(self) -> str:
        """A layer's gain in each network, a column a slope, in Markdown."""
        axes = [axis for axis in starts.AXES if axis not in ("seed", "slope")]
        wide = self.starts().pivot(index=axes, columns="slope", values="gain").map("{:.2f}".format)
        wide = wide.rename(columns="slope {:g}".format).reset_index()
        return markdown(TableDefinition().table(wide))

    def frame(self, sweep: str, name: str, **where: Any) -> pd.DataFrame:
        """Numbers to make claims of: those of a table, of all cells or trials, or of a search."""
        data = self._data(sweep)
        known: dict[str, Callable[[], pd.DataFrame | None]] = {
            "cells": lambda: data.best,
            "trials": lambda: data.trials,
            "norm_effects": lambda: data.once(norm_effects.norm_effects),
            **{
                table: functools.partial(definition.of, data)
                for table, definition in TABLES.items()
            },
        }
        if data.sweep.has_search:
            known["settings"] = data.sweep.search
            known["gap_by_budget"] = functools.partial(data.sweep.dependency_gap, tuned=True)
        if data.sweep.has_decisions:
            known["exact_decisions"] = functools.partial(_exact_decisions, data)
        _check("frame", name, known)
        found = known[name]()
        if found is None:
            raise InputError(f"sweep {sweep!r} has no table {name!r}")
        return _rows(found, where, f"{name} of {sweep!r}")

    def accuracies(self, sweep: str, **where: Any) -> pd.DataFrame:
        """Test accuracies of best epochs in percent: one row per seed, one column per cell."""
        return 100 * self._by_cell(
            sweep, self._data(sweep).trials, "seed", BEST_TEST_ACCURACY, where
        )

    def layers(self, sweep: str, name: str, epoch: int, **where: Any) -> pd.DataFrame:
        """A diagnostic's medians over seeds in an epoch: one row per layer, one column per cell."""
        data = self._data(sweep)
        diagnostics = self._results[sweep].diagnostics().query(f"epoch == {epoch}")
        cells = data.trials[["run_id", "cell"]]
        rows = diagnostics.drop(columns="cell", errors="ignore").merge(cells, on="run_id")
        return self._by_cell(sweep, rows, "layer", name, where).dropna(how="all")

    def _by_cell(
        self, sweep: str, rows: pd.DataFrame, index: str, values: str, where: Mapping[str, Any]
    ) -> pd.DataFrame:
        """A column a cell, named by its value of the one axis in which these cells differ."""
        best = self._data(sweep).best
        cells = _rows(best.assign(cell=best.index), where, f"sweep {sweep!r}")
        axes = [axis for axis in self._data(sweep).axes if cells[axis].nunique(dropna=False) > 1]
        names = {
            cell["cell"]: plain(cell[axes[0]]) if len(axes) == 1 else tuple(map(cell.get, axes))
            for cell in cells.to_dict("records")
        }
        wide = rows.pivot_table(index=index, columns="cell", values=values, aggfunc="median")
        return wide[[cell for cell in names if cell in wide]].rename(columns=names)

    def figure(self, sweep: str, name: str) -> str:
        """A figure, which is written beside the page."""
        drawn = self._drawn(sweep)
        _check("figure", name, drawn)
        return self._shown(drawn[name], f"{sweep}-{name}".replace(" ", "-"))

    def why(self, sweep: str, **where: Any) -> str:
        """The figure of the layers, of those cells whose columns have these values alone."""
        data = self._data(sweep)
        best = data.best.assign(cell=data.best.index)
        cells = _rows(best, where, f"sweep {sweep!r}")["cell"]
        with style():
            picture = why(data, cells.tolist())
        if picture is None:
            raise InputError(f"sweep {sweep!r} has no diagnostics where {where}")
        told = [
            "-".join([column, *map(str, value if isinstance(value, list) else [value])])
            for column, value in where.items()
        ]
        return self._shown(picture, "-".join([sweep, "why", *told]))

    def _shown(self, picture: Picture, file: str) -> str:
        self.pictures[file] = picture
        return f"![{picture.title}]({self._folder}/{file}.svg)\n\n*{picture.caption.strip()}*"

    def separation(self, *sweeps: str) -> str:
        """How well the prediction rule, and each diagnostic, separates trials, in Markdown."""
        for sweep in sweeps:
            _check("sweep", sweep, self.files)
        return markdown(
            TableDefinition().table(separation({sweep: self._results[sweep] for sweep in sweeps}))
        )

    def areas(self, *sweeps: str) -> pd.DataFrame:
        """The areas of that table: one row per contender, one column per sweep."""
        return areas({sweep: self._start(sweep) for sweep in sweeps})

    def mistakes(self, *sweeps: str) -> pd.DataFrame:
        """The rule's of that table, as numbers: one row per sweep."""
        return mistakes({sweep: self._start(sweep) for sweep in sweeps})

    def last_rates(self, outcome: str, *sweeps: str) -> list[float]:
        """Rates of the last layer before the first step, of trials that ended so."""
        trials = [row for sweep in sweeps for row in self._start(sweep)]
        return [float(row["rate"][-1]) for row in trials if row["outcome"] == outcome]

    def spec(self, sweep: str) -> str:
        """A sweep's spec."""
        return f"```yaml\n{self._data(sweep).provenance.spec}\n```"

    def origin(self, sweep: str) -> str:
        """Where a sweep's numbers come from, in a paragraph."""
        data = self._data(sweep)
        facts = data.provenance.facts.items()
        told = [f"{fact}: {', '.join(values)}" for fact, values in facts]
        count = f"{len(data.trials)} of {int(data.best['n_expected'].sum())} trials"
        return "; ".join([f"`{self.files[sweep].name}`: {count}", *told]) + "."

    def _data(self, sweep: str) -> ReportData:
        _check("sweep", sweep, self.files)
        return _report_data(self.files[sweep].absolute())

    def _draw(self, sweep: str) -> dict[str, Picture]:
        with style():
            return {picture.name: picture for picture in draw(self._data(sweep))}


def _exact_decisions(data: ReportData) -> pd.DataFrame:
    """The decisions as they would be if the spec assumed that pairs are exchangeable."""
    spec, cells = declaring_spec(data.sweep.records), named_cells(data.sweep.cells)
    assert isinstance(spec.seeds, UntilDecided)
    rule = spec.seeds.model_copy(update={"assume": "exchangeable"})
    seeds = data.sweep.by_seed(numbered=True)
    return decisions(cells, seeds, spec.model_copy(update={"seeds": rule}))


def _rows(frame: pd.DataFrame, where: Mapping[str, Any], of: str) -> pd.DataFrame:
    """Those rows whose columns have these values, or one of them; there must be some."""
    for column, values in where.items():
        _check("column", column, list(map(str, frame)))
        wanted = values if isinstance(values, list) else [values]
        frame = frame[[plain(one) in wanted for one in frame[column]]]
    if frame.empty:
        raise InputError(f"{of} has no row where {where}")
    return frame.reset_index(drop=True)


def _mean_in_words(cell: Mapping[Any, Any]) -> str:
    n, n_collapsed = int(cell["n_seeds"]), int(cell["n_collapsed"])
    if not n:
        return "not run"
    seeds = "" if n == cell["n_expected"] else f" ({n} of {int(cell['n_expected'])} seeds)"
    if n_collapsed == n:
        return f"collapsed{seeds}"
    mean = f"{100 * cell['mean']:.1f}{seeds}"
    return f"{mean} ({n_collapsed} of {n} collapsed)" if n_collapsed else mean


def _check(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise InputError(f"{what} {not_among(known, name)}")
