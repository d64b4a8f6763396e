"""The report of a recorded sweep: its files, its page, and that the runs alone decide them."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from whole_sweep import digests, record_digits

from orchestration.cli.main import cli
from orchestration.errors import InputError
from orchestration.report.write import log_report, write_report
from orchestration.results.results import Results

FIGURES = ["accuracy-by-seed", "cost", "dependency-gap", "learning-curves", "spike-rates"]


@pytest.fixture(scope="module")
def written(
    sqlite_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The tracking URI of a sweep of which a trial is missing, and the folder of its report."""
    uri = sqlite_database()
    record_digits(uri, trials=17)
    folder = tmp_path_factory.mktemp("report é")
    started = time.monotonic()
    write_report("digits", folder, tracking_uri=uri)
    # Ten seconds is what it may take; this is the bound for a machine that does much else.
    assert time.monotonic() - started < 60
    return uri, folder


def test_the_files(written: tuple[str, Path]) -> None:
    assert sorted(digests(written[1])) == sorted(
        [
            "report.html",
            *(f"{table}.csv" for table in ("curves", "expected_best", "last_epoch", "trials")),
            *(
                f"{table}.{form}"
                for table in ("best_of_seeds", "dependency_gap", "headline", "norm_differences")
                for form in ("csv", "html", "md", "tex")
            ),
            *(f"figures/{name}.{form}" for name in FIGURES for form in ("pdf", "png", "svg")),
        ]
    )


def test_the_same_runs_give_the_same_bytes(written: tuple[str, Path], tmp_path: Path) -> None:
    uri, folder = written
    with mpl.rc_context({"axes.labelsize": 30, "xtick.direction": "in", "svg.hashsalt": "another"}):
        write_report("digits", tmp_path, tracking_uri=uri)
    assert digests(tmp_path) == digests(folder)


def test_its_numbers_are_those_of_the_results(written: tuple[str, Path]) -> None:
    uri, folder = written
    best = Results("digits", tracking_uri=uri).best_of_seeds()
    read = pd.read_csv(folder / "best_of_seeds.csv")
    pd.testing.assert_frame_equal(read, best, check_dtype=False, check_exact=True)
    headline = pd.read_csv(folder / "headline.csv")
    assert headline["standard_norm"].tolist() == ["batchnorm", "bntt"]
    page = (folder / "report.html").read_text(encoding="utf-8")
    for accuracy in best["best"]:
        assert f"{100 * accuracy:.2f}" in page


def test_the_page_says_in_words_what_is_not_whole(written: tuple[str, Path]) -> None:
    page = (written[1] / "report.html").read_text(encoding="utf-8")
    assert "Data set digits, 8 epochs. 17 of 18 trials have finished, 3 collapsed." in page
    assert "<li>spiking CNN, no norm: collapsed 3/3</li>" in page
    assert "<li>spiking CNN, homeostatic: incomplete 2/3</li>" in page
    assert "2 × a &lt;fast&gt; &amp; good processor" in page
    assert "<dt>spiking layers</dt>" in page
    told = "Epochs selected on the test set."
    assert page.count(f"<p>{told}</p>") == 3  # below the headline, the cells and the differences
    assert page.count(f"{told}</figcaption>") == 2
    assert "stop_when_collapsed: {&#34;after_epochs&#34;: 3}" in page


class Page(HTMLParser):
    """Collects what a page refers to, its ids, and elements left open."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.references: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.ids.append(str(given["id"]))
        for name in ("href", "src", "xlink:href", "srcset", "action"):
            if given.get(name):
                self.references.append(str(given[name]))
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_from_outside_and_holds_together(written: tuple[str, Path]) -> None:
    text = (written[1] / "report.html").read_text(encoding="utf-8")
    page = Page()
    page.feed(text)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    used = [*page.references, *re.findall(r"url\(([^)]*)\)", text)]
    assert len(used) > 100
    assert {reference[0] for reference in used} == {"#"}
    assert {reference[1:] for reference in used} <= set(page.ids)


def test_the_page_is_dark_where_it_should_be(written: tuple[str, Path]) -> None:
    """No colour of the style's is left in its figures: the page has its own for each."""
    text = (written[1] / "report.html").read_text(encoding="utf-8")
    style = Path("orchestration/figures.mplstyle").read_text()
    colours = set(re.findall(r"\b[0-9a-f]{6}\b", style))
    assert len(colours) >= 10
    figures = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not {colour for colour in colours if f"#{colour}" in figures}


def test_a_sweep_without_a_finished_trial(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    uri = sqlite_database()
    record_digits(uri, trials=0)
    page = write_report("digits", tmp_path, tracking_uri=uri).read_text(encoding="utf-8")
    assert "0 of 18 trials have finished" in page
    assert "<svg" not in page


def test_a_name_that_is_not_a_sweep_writes_nothing(
    written: tuple[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="known are digits"):
        write_report("digit", tmp_path / "none", tracking_uri=written[0])
    assert not (tmp_path / "none").exists()


def test_a_folder_that_cannot_be_written(written: tuple[str, Path], tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match=r"cannot be written to .*name another folder"):
        write_report("digits", tmp_path / "file", tracking_uri=written[0])


def test_the_artifacts_of_the_sweeps_own_run(tracking_uri: str, tmp_path: Path) -> None:
    experiment, parent = record_digits(tracking_uri, "logged report", trials=4)
    client = MlflowClient(tracking_uri)
    log_report(client, "logged report", parent)
    client.download_artifacts(parent, "report", str(tmp_path))
    page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
    trials = pd.read_csv(tmp_path / "report" / "trials.csv")
    run = f"{tracking_uri}/#/experiments/{experiment}/runs/{trials['run_id'].iloc[0]}"
    assert f'href="{run}?workflowType=machine_learning"' in page
    compared = "%22%2C%20%22".join(trials["run_id"].iloc[:3])
    assert f"/#/compare-runs?runs=%5B%22{compared}%22%5D" in page


def test_the_commands(tracking_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    record_digits(tracking_uri, "by command", trials=1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    done = CliRunner().invoke(cli, ["report", "by command"])
    assert done.exit_code == 0, done.output
    assert "by command-report/report.html" in done.output
    assert (tmp_path / "by command-report" / "report.html").exists()
    done = CliRunner().invoke(cli, ["compare", "by command", "headline-published"])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert lines[0].endswith("A is by command, B is headline-published")
    assert lines[4].split()[:4] == ["ann", "none", "95.52", "88.78"]
    done = CliRunner().invoke(cli, ["compare", "by command", "headline"])
    assert done.exit_code == 2
    assert "no sweep is named 'headline'" in done.output


DOCUMENT = r"""\documentclass{article}
\usepackage{booktabs,siunitx,graphicx}
\sisetup{detect-weight=true}
\begin{document}
\input{headline}

\input{best_of_seeds}

\input{dependency_gap}

\input{norm_differences}

\includegraphics[width=\linewidth]{figures/learning-curves}
\end{document}
"""


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_the_latex_compiles(written: tuple[str, Path], tmp_path: Path) -> None:
    folder = tmp_path / "report"
    shutil.copytree(written[1], folder)
    (folder / "paper.tex").write_text(DOCUMENT)
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "paper.tex"],
        cwd=folder,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert "LaTeX Warning" not in done.stdout
    assert (folder / "paper.pdf").stat().st_size > 20_000
