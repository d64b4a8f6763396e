"""The pages of evidence and the README are what the exported sweeps give, byte by byte."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from jinja2 import UndefinedError
from whole_sweep import record_digits

from benchmarks.evidence.__main__ import FOLDER, TEMPLATES, made
from benchmarks.evidence.mechanism import rows_of, separation
from benchmarks.evidence.page import END, HEAD, render, with_part
from benchmarks.prediction import by_rule
from orchestration.errors import InputError
from orchestration.record.archive import write_archive
from orchestration.record.client import connect
from orchestration.record.exchange import export_sweep
from orchestration.render.markdown import markdown
from orchestration.results.results import Results
from orchestration.tables.headline import TABLE as HEADLINE


@pytest.fixture(scope="module")
def archive(sqlite_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    uri = sqlite_database()
    record_digits(uri)
    path = tmp_path_factory.mktemp("evidence é") / "of-digits.jsonl.gz"
    write_archive(export_sweep(connect(uri), "digits"), path)
    return path


def test_the_pages_are_the_records() -> None:
    made_again = "make it again with: python -m benchmarks.evidence"
    pages = made()
    for path, page in pages.items():
        assert path.read_bytes().decode() == page.text, made_again
    for path in TEMPLATES:
        figures = {figure.stem for figure in path.with_suffix("").glob("*")}
        assert figures == pages[path].pictures.keys(), made_again


def test_a_part_is_put_between_the_marks_of_a_page_and_nowhere_else() -> None:
    page = f"# Title\n{HEAD}as it was\n{END}and so on\n"
    assert with_part(page, f"{HEAD}as it is\n\n") == page.replace("as it was", "as it is")
    for broken in ("# Title\n", page.replace(END, ""), page + page):
        with pytest.raises(InputError, match="once each"):
            with_part(broken, HEAD)


def test_its_slots_are_filled_from_the_archive(archive: Path, tmp_path: Path) -> None:
    page = render(
        "{% for sweep in sweeps %}\n## {{ sweep }}\n{% endfor %}\n"
        '{{ table("digits", "headline") }}\n'
        '{{ table("digits", "best_of_seeds", architecture="snn", norm=["none", "bntt"]) }}\n'
        'On average {{ number("digits", "mean", "snn", "bntt") }} %, a gap of '
        '{{ number("digits", "gap_pp", "snn") }}.\n'
        'Of the spiking cells {{ collapsed("digits", architecture="snn") }} collapsed.\n'
        '{{ figure("digits", "dependency-gap") }}\n{{ spec("digits") }}\n{{ origin("digits") }}\n',
        [archive],
    )
    results = Results(str(archive))
    best, gap = results.best_of_seeds(), results.dependency_gap()
    assert page.text.startswith(f"{HEAD}## digits\n| network |")
    assert markdown(HEADLINE.table(best)) in page.text
    assert "| snn | bntt |" in page.text
    assert "| snn | homeostatic |" not in page.text
    spiking = best[best["architecture"] == "snn"]
    n_collapsed = sum(count > 0 for count in spiking["n_collapsed"])
    assert n_collapsed > 0
    assert f"cells {n_collapsed} of {len(spiking)} collapsed." in page.text
    mean = 100 * best.query("architecture == 'snn' and norm == 'bntt'")["mean"].iloc[0]
    told = (
        f"On average {mean:.2f} %, a gap of {gap.set_index('architecture')['gap_pp']['snn']:.2f}."
    )
    assert told in page.text
    assert "![Dependency gap](evidence/digits-dependency-gap.svg)" in page.text
    assert 'name: "digits"' in page.text
    assert "`of-digits.jsonl.gz`: 18 of 18 trials; snn-norm: 0.1.0" in page.text
    page.write(tmp_path / "evidence.md")
    assert (tmp_path / "evidence.md").read_text(encoding="utf-8") == page.text
    assert [path.name for path in (tmp_path / "evidence").iterdir()] == [
        "digits-dependency-gap.svg"
    ]


def test_why_of_some_cells_shows_these_alone(archive: Path) -> None:
    deep = FOLDER / "depth-fashion.jsonl.gz"
    page = render('{{ why("depth-fashion", architecture="snn", depth=20) }}', [deep])
    (name,) = page.pictures
    assert f"![Why](evidence/{name}.svg)" in page.text
    figure = page.pictures[name].figure
    titles = [str(part.get_suptitle()) for part in figure.subfigs]
    assert titles == [f"spiking CNN, depth 20, shortcut {k}" for k in ("none", "spike", "membrane")]
    assert "networks are drawn" not in page.text, "as if some were left out"
    with pytest.raises(InputError, match="depth"):
        render('{{ why("depth-fashion", depth=9) }}', [deep])
    with pytest.raises(InputError, match="has no diagnostics"):
        render('{{ why("digits", architecture="snn") }}', [archive])


def test_what_separates_trials_is_told_of_sweeps_that_have_both_kinds() -> None:
    archive = FOLDER / "norms-digits.jsonl.gz"
    page = render('{{ separation("norms-digits") }}', [archive])
    trials = Results(str(archive)).trials().query("architecture == 'snn'")
    n_collapsed = (trials["outcome"] == "collapsed").sum()
    assert 0 < n_collapsed < len(trials)
    assert f"norms-digits ({n_collapsed} of {len(trials)} collapsed)" in page.text
    line = next(line for line in page.text.splitlines() if line.startswith("| **the rule**"))
    rows = rows_of(Results(str(archive)))
    learned, lost = (
        [score for score, row in zip(by_rule(rows), rows, strict=True) if is_of(row["outcome"])]
        for is_of in ("completed".__eq__, "collapsed".__eq__)
    )
    ordered = [(a > b) + (a == b) / 2 for a in learned for b in lost]
    assert line.endswith(f"| {sum(ordered) / len(ordered):.3f} |")


def test_a_sweep_whose_trials_all_learned_separates_nothing() -> None:
    with pytest.raises(InputError, match="no sweep has both trials that learned and trials"):
        separation({})


@pytest.mark.parametrize(
    ("slot", "message"),
    [
        ('table("digist", "headline")', "sweep must be one of digits, got 'digist'; did you mean"),
        ('table("digits", "basin")', "sweep 'digits' has no table 'basin'"),
        ('table("digits", "headline", nrom="bntt")', "column must be one of architecture, norm"),
        ('table("digits", "headline", norm="tab")', "has no row where {'norm': 'tab'}"),
        ('number("digits", "mean", "snn", "tab")', "has no row must be one of"),
        ('number("digits", "maen", "snn", "bntt")', "got 'maen'; did you mean 'mean'?"),
        ('collapsed("digits", norm="tab")', "sweep 'digits' has no row where {'norm': 'tab'}"),
        ('figure("digits", "basin")', "figure must be one of dependency-gap, "),
    ],
)
def test_what_is_not_there_is_an_error(slot: str, message: str, archive: Path) -> None:
    with pytest.raises(InputError, match=r".*") as raised:
        render(f"{{{{ {slot} }}}}", [archive])
    assert message in str(raised.value)


def test_a_sweep_is_there_once_and_a_misspelt_slot_is_an_error(
    archive: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.jsonl.gz"
    copy.write_bytes(archive.read_bytes())
    with pytest.raises(InputError, match="are of the same sweep"):
        render("", [archive, copy])
    with pytest.raises(UndefinedError, match="tabel"):
        render('{{ tabel("digits", "headline") }}', [archive])
