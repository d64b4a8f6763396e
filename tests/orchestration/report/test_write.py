"""The report of a recorded sweep: its files, its page, and that the runs alone decide them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import matplotlib as mpl
import pandas as pd
import pytest
from click.testing import CliRunner
from matplotlib.colors import to_hex
from mlflow import MlflowClient
from recorded import RecordedTrial, Recorder
from whole_sweep import digests, record_digits

from orchestration.cli.main import cli
from orchestration.errors import InputError
from orchestration.render.figures import save, style
from orchestration.render.series_style import COLORS, style_of
from orchestration.report import write
from orchestration.report.write import log_report, write_report
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from orchestration.tables.registry import tables_of
from orchestration.tables.report_data import read_report_data
from snn_norm.norms.table import NORMS

NAN = float("nan")
PEOPLES = (
    "best_of_seeds", "dependency_gap", "energy", "headline", "norm_differences", "norm_gaps"
)  # fmt: skip
ENERGY = "accuracy-by-energy"
FIGURES = [ENERGY, "accuracy-by-seed", "cost", "dependency-gap", "learning-curves", "spike-rates"]


@pytest.fixture(scope="module")
def written(
    sqlite_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The tracking URI of a sweep of which a trial is missing, and the folder of its report."""
    uri = sqlite_database()
    record_digits(uri, trials=17)
    folder = tmp_path_factory.mktemp("report é")
    write_report("digits", folder, tracking_uri=uri)
    return uri, folder


@pytest.fixture
def one_form(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures are drawn as SVG alone, which is what a page needs; each form takes seconds."""
    monkeypatch.setattr(write, "save", partial(save, forms=["svg"]))


def test_the_files(written: tuple[str, Path]) -> None:
    assert sorted(digests(written[1])) == sorted(
        [
            "report.html",
            *(f"{table}.csv" for table in ("curves", "expected_best", "last_epoch", "trials")),
            *(f"{table}.{form}" for table in PEOPLES for form in ("csv", "html", "md", "tex")),
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
    assert page.count(f"{told}</p>") == 3  # below the headline, energy and the cells
    assert page.count(f"{told} p is corrected for all tests of the sweep, also those not sho") == 1
    assert page.count("Cells have 2 to 3 seeds, and the best of more is higher by chance") == 2
    assert '<th scope="col" class="number">best of 2 %</th>' in page
    assert page.count(f"{told}</figcaption>") == 3
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


def test_a_sweep_without_a_finished_trial(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    uri = sqlite_database()
    record_digits(uri, trials=0)
    page = write_report("digits", tmp_path, tracking_uri=uri).read_text(encoding="utf-8")
    assert "0 of 18 trials have finished" in page
    assert "<svg" not in page


GRIDS: dict[str, tuple[list[dict[str, object]], list[float], str]] = {
    "own ones": ([{"architecture": "my:Net", "norm": ["my:A", "my:B"]}], [0.5], "completed"),
    "nothing standard": ([{"architecture": "ann", "norm": ["none", "my:A"]}], [0.5], "completed"),
    "one cell": ([{"architecture": "snn", "norm": "bntt"}], [0.5], "completed"),
    "all collapsed": ([{"architecture": "snn", "norm": ["none", "bntt"]}], [0.1], "collapsed"),
    "no number at all": ([{"architecture": "snn", "norm": ["none", "bntt"]}], [], "diverged"),
    "not a number": ([{"architecture": "snn", "norm": ["none", "bntt"]}], [NAN], "diverged"),
}  # fmt: skip


@pytest.mark.usefixtures("one_form")
@pytest.mark.parametrize("kind", GRIDS)
def test_any_sweep_has_a_report_of_the_numbers_that_it_has(
    kind: str, sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    grid, accuracies, outcome = GRIDS[kind]
    given = {"name": kind, "dataset": "digits", "epochs": 1, "seeds": [1], "grid": grid}
    spec = SweepSpec.from_json(json.dumps(given))
    recorder = Recorder(uri := sqlite_database())
    experiment, parent = recorder.sweep(kind, spec.to_json())
    # One a trial's own measurements, all of them missing where its accuracy is.
    names = ("epoch_seconds", "spike_rate.conv1", "rate.conv1", "support.conv1", "gradient.conv1")
    metrics = dict.fromkeys(names, accuracies)
    for cell in spec.cells():
        config = {**cell.given(), "seed": 1}
        trial = RecordedTrial(config, accuracies, outcome, metrics=metrics)
        recorder.trial(experiment, parent, trial)
    page = write_report(kind, tmp_path, tracking_uri=uri).read_text(encoding="utf-8")
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    measured = {*FIGURES, "why"} if outcome != "diverged" else set()
    if kind != "nothing standard":  # the rate of one layer of a spiking network is not enough
        measured.discard(ENERGY)
    if kind in ("own ones", "one cell"):
        measured.remove("dependency-gap")
        assert ('id="headline"' in page) == (kind == "one cell")
    assert figures == measured


@pytest.mark.usefixtures("one_form")
def test_trials_of_another_program_have_a_report(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    recorder = Recorder(uri := sqlite_database())
    experiment, _ = recorder.sweep("foreign")
    recorder.trial(experiment, None, RecordedTrial({"seed": 1}, [0.5], key="a"))
    page = write_report("foreign", tmp_path, tracking_uri=uri).read_text(encoding="utf-8")
    assert "1 of 1 trials have finished" in page


@pytest.mark.usefixtures("one_form")
def test_norms_beyond_the_headlines_have_a_table_of_their_own(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    grid = [{"architecture": "ann", "norm": ["none", "batchnorm", "my:A"]}]
    given = {"name": "s", "dataset": "digits", "epochs": 1, "seeds": [1], "grid": grid}
    spec = SweepSpec.from_json(json.dumps(given))
    recorder = Recorder(uri := sqlite_database())
    experiment, parent = recorder.sweep("s", spec.to_json())
    for cell, accuracy in zip(spec.cells(), [0.5, 0.75, 0.625], strict=True):
        config = {**cell.given(), "seed": 1}
        recorder.trial(experiment, parent, RecordedTrial(config, [accuracy]))
    write_report("s", tmp_path, tracking_uri=uri)
    gaps = pd.read_csv(tmp_path / "norm_gaps.csv")
    assert gaps[["norm", "none", "accuracy", "gap_pp", "is_standard"]].to_numpy().tolist() == [
        ["batchnorm", 0.5, 0.75, 25.0, True],
        ["my:A", 0.5, 0.625, 12.5, False],
    ]
    assert gaps["ratio"].isna().tolist() == [False, True]
    assert "batchnorm (standard)" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_it_reads_its_sweep_once(
    written: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    results = Results("digits", tracking_uri=written[0])
    asked = []
    for name in ("read", "points"):
        method = getattr(results._source, name)
        monkeypatch.setattr(
            results._source, name, lambda *given, _m=method, _n=name: asked.append(_n) or _m(*given)
        )
    data = read_report_data(results)
    assert {"energy", "best_of_seeds"} <= {name for name, _, _ in tables_of(data)}
    assert data.diagnostics.empty
    assert asked == ["read", "points", "points"]  # the latter of curves, and of diagnostics
    assert len(data.trials) == 17
    cells = data.trials.drop_duplicates("cell")
    assert cells["cell"].tolist() == list(range(6))
    assert cells["norm"].tolist() == data.best["norm"].tolist()[:6]


def test_own_norms_are_drawn_like_no_other() -> None:
    own = ["my:A", "my:B", "my:C"]
    styles = {norm: style_of(norm, [*NORMS, *own]) for norm in [*NORMS, *own]}
    with style():
        assert [to_hex(one["color"]) for one in mpl.rcParams["axes.prop_cycle"]] == list(COLORS)
        assert all(to_hex(drawn.color) == drawn.hex for drawn in styles.values())
    others = {styles[norm].color for norm in NORMS}
    assert len({styles[norm].color for norm in own} - others) == 3
    assert len({(styles[norm].line, styles[norm].marker) for norm in own}) == 3


def test_a_report_takes_the_place_of_an_earlier_one_and_of_nothing_else(
    written: tuple[str, Path], sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    shutil.copytree(written[1], folder)
    (folder / "mine.csv").touch()
    (folder / "figures" / "mine.pdf").touch()
    record_digits(uri := sqlite_database(), trials=0)
    write_report("digits", folder, tracking_uri=uri)
    left = sorted(path.name for path in (folder / "figures").iterdir())
    assert left == ["mine.pdf"]
    assert (folder / "mine.csv").exists()


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


@pytest.mark.usefixtures("one_form")
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


@pytest.mark.usefixtures("one_form")
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
    assert "Not the same data sets: digits (A), cifar10 (B)." in lines[-1]
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
