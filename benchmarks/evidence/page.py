"""Makes docs/evidence.md out of a template, whose words are written by hand, and exported sweeps.

Every number, table and figure of the page comes out of an archive in this folder. The template is
Jinja2's and may say:

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
    {{ spec("SWEEP") }}                                    its spec as YAML
    {{ origin("SWEEP") }}                                  its file, trials, machines and versions
    {% for sweep in sweeps %}                              all names, in order
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, StrictUndefined

from benchmarks.evidence.mechanism import separation
from orchestration.errors import InputError
from orchestration.render.figures import Picture, style
from orchestration.render.figures import save as save_figure
from orchestration.render.markdown import markdown
from orchestration.report.figures.draw import draw
from orchestration.report.figures.why import why
from orchestration.results.columns import plain
from orchestration.results.results import Results
from orchestration.tables.definition import TableDefinition
from orchestration.tables.numbers import Number, numbers_of
from orchestration.tables.registry import TABLES
from orchestration.tables.report_data import ReportData, read_report_data
from snn_norm.wording import not_among

HEAD = "<!-- Made by `python -m benchmarks.evidence` from benchmarks/evidence/*.md.jinja. -->\n"
"""Begins what is made."""

END = "<!-- Made until here. -->\n"
"""Ends it in a page that is written by hand besides."""


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        text: Markdown.
        pictures: its figures, by the name that it gives their files.
    """

    text: str
    pictures: dict[str, Picture]

    def write(self, path: Path) -> None:
        """Write it, and its figures as SVG into the folder of its name beside it."""
        path.write_text(self.text, encoding="utf-8", newline="\n")
        folder = path.with_suffix("")
        with style():
            for name, picture in self.pictures.items():
                folder.mkdir(exist_ok=True)
                save_figure(picture, folder, ["svg"], name)


def render(template: str, archives: Collection[Path], folder: str = "evidence") -> Page:
    """Fill a template.

    Args:
        template: Jinja2's.
        archives: the files of the sweeps that it names.
        folder: of the figures, as the page names it.

    Raises:
        InputError: it asks for what is not there; the message says what is.
        jinja2.TemplateError: it is no template.
    """
    evidence = _Evidence(archives, folder)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    slots = {name: getattr(evidence, name) for name in _SLOTS}
    text = environment.from_string(template).render(sweeps=sorted(evidence.files), **slots)
    return Page(HEAD + text, evidence.pictures)


def with_part(page: str, part: str) -> str:
    """A page that is written by hand, with what :func:`render` gave between its two marks.

    Raises:
        InputError: it does not have each mark once.
    """
    head, *rest = page.split(HEAD)
    if len(rest) != 1 or rest[0].count(END) != 1:
        raise InputError(f"the page must have {HEAD.strip()!r} and {END.strip()!r}, once each")
    return f"{head}{part.rstrip()}\n{END}{rest[0].partition(END)[2]}"


_SLOTS = ("table", "number", "mean", "collapsed", "figure", "why", "separation", "spec", "origin")


class _Evidence:
    """What a template may ask for."""

    def __init__(self, archives: Collection[Path], folder: str) -> None:
        self.files: dict[str, Path] = {}
        self.pictures: dict[str, Picture] = {}
        self._folder = folder
        self._results: dict[str, Results] = {}
        for path in sorted(archives):
            results = Results(str(path.absolute()))
            if results.name in self.files:
                raise InputError(f"{self.files[results.name]} and {path} are of the same sweep")
            self.files[results.name], self._results[results.name] = path, results
        self._data = functools.cache(self._read)
        self._drawn = functools.cache(self._draw)
        self._numbers = functools.cache(lambda sweep: list(numbers_of(self._data(sweep))))

    def table(self, sweep: str, name: str, **where: Any) -> str:
        """A table in Markdown: those rows whose columns have these values, or one of them."""
        _check("table", name, TABLES)
        frame = TABLES[name].of(self._data(sweep))
        if frame is None:
            raise InputError(f"sweep {sweep!r} has no table {name!r}")
        return markdown(TABLES[name].table(_rows(frame, where, f"table {name!r} of {sweep!r}")))

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

    def _read(self, sweep: str) -> ReportData:
        _check("sweep", sweep, self.files)
        return read_report_data(self._results[sweep])

    def _draw(self, sweep: str) -> dict[str, Picture]:
        with style():
            return {picture.name: picture for picture in draw(self._data(sweep))}


def _rows(frame: pd.DataFrame, where: Mapping[str, Any], of: str) -> pd.DataFrame:
    """Those rows whose columns have these values, or one of them; there must be some."""
    for column, values in where.items():
        _check("column", column, list(map(str, frame)))
        wanted = values if isinstance(values, list) else [values]
        frame = frame[[plain(one) in wanted for one in frame[column]]]
    if frame.empty:
        raise InputError(f"{of} has no row where {where}")
    return frame.reset_index(drop=True)


def _check(what: str, name: str, known: Collection[str]) -> None:
    if name not in known:
        raise InputError(f"{what} {not_among(known, name)}")
