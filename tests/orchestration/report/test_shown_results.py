"""What a notebook shows of a sweep: its headline, and the tables and figures of its report."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from benchmarks.evidence.__main__ import FOLDER
from orchestration import Results
from orchestration.errors import InputError
from orchestration.render.figures import ReportFigure, style
from orchestration.report.figures.draw import FIGURES, draw
from orchestration.report.notebook import Plots
from orchestration.tables.report_data import read_report_data

SWEEP = str(FOLDER / "norms-digits.jsonl.gz")


def test_results_show_their_headline() -> None:
    page = Results(SWEEP)._repr_html_()
    assert "<strong>norms-digits</strong>" in page
    assert '<th scope="row">spiking CNN</th>' in page
    assert "dependency gap" in page


def test_a_table_is_that_of_the_report() -> None:
    results = Results(SWEEP)
    best = results.table("best_of_seeds")
    assert best._repr_html_().count("<tr>") == 1 + len(results.best_of_seeds())
    assert best._repr_markdown_().startswith("| architecture | norm |")
    assert "\\begin{tabular}" in best._repr_latex_()
    assert str(best) == repr(best)
    assert "batchnorm" in str(best)


def test_a_table_that_there_is_not() -> None:
    with pytest.raises(InputError, match=r"^table must be one of headline, .*, got 'heading'$"):
        Results(SWEEP).table("heading")
    with pytest.raises(InputError, match="'norms-digits' has no numbers for the table decisions"):
        Results(SWEEP).table("decisions")


def test_each_figure_of_the_report_has_a_method() -> None:
    drawn = []

    class Noted(Plots):
        def _figure(self, name: str) -> ReportFigure:
            drawn.append(name)
            return ReportFigure()

    plots = Noted(Results(SWEEP))
    for method in (name for name in vars(Plots) if not name.startswith("_")):
        getattr(plots, method)()
    assert sorted(drawn) == sorted(FIGURES)


def test_a_figure_is_that_of_the_report(tmp_path: Path) -> None:
    data = read_report_data(Results(SWEEP))
    with style():
        (curves,) = [one for one in draw(data) if one.name == "learning-curves"]
    shown = Results(SWEEP).plot.learning_curves()
    assert shown._repr_png_() == curves.figure._repr_png_()
    shown.savefig(tmp_path / "curves.pdf")
    shown.savefig(io.BytesIO(), format="png")


def test_a_figure_without_numbers_says_so() -> None:
    with pytest.raises(InputError, match="'norms-digits' has no numbers for the figure evidence"):
        Results(SWEEP).plot.evidence()
