"""What a paper takes from sweeps: the same records give the same bytes; what differs is named."""

from __future__ import annotations

import dataclasses
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from whole_sweep import digests, record_digits

from orchestration.cli.main import cli
from orchestration.record.archive import SweepArchive, read_archive, write_archive
from orchestration.record.client import connect
from orchestration.record.exchange import export_sweep, import_sweep
from orchestration.report.paper.macros import macro_names, read_macros
from orchestration.results.models import folder_names
from orchestration.results.results import Results
from orchestration.store.open import open_storage
from orchestration.tables.numbers import Number


@pytest.fixture(scope="module")
def recorded(
    sqlite_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, Path]:
    """The database of a sweep, and its file."""
    uri = sqlite_database()
    record_digits(uri)
    path = tmp_path_factory.mktemp("files é") / "digits.jsonl.gz"
    write_archive(export_sweep(connect(uri), "digits"), path)
    return uri, path


@pytest.fixture(scope="module")
def file(recorded: tuple[str, Path]) -> Path:
    return recorded[1]


@pytest.fixture(scope="module")
def pattern(file: Path) -> Path:
    folder = file.with_name("paper")
    assert run("paper", str(file), "--output", str(folder)).exit_code == 0
    return folder


@pytest.fixture
def written(pattern: Path, tmp_path: Path) -> Path:
    """A paper that a test may change."""
    return Path(shutil.copytree(pattern, tmp_path / "paper é"))


@pytest.fixture(scope="module")
def control(sqlite_database: Callable[[], str]) -> str:
    """The database of the packaged sweep, with its control."""
    uri = sqlite_database()
    record_digits(uri, trials=21, control=True)
    return uri


def run(*arguments: str, env: dict[str, str] | None = None) -> Result:
    return CliRunner().invoke(cli, arguments, env=env)


def check(folder: Path, *names: str) -> Result:
    return run("paper", *names, "--check", str(folder))


def other(file: Path, folder: Path, change: Callable[[SweepArchive], SweepArchive]) -> str:
    """The file of a sweep that differs."""
    path = folder / "other.jsonl"
    write_archive(change(read_archive(file)), path)
    return str(path)


def test_the_same_records_give_the_same_bytes_from_a_file_and_a_database(
    recorded: tuple[str, Path], written: Path, tmp_path: Path
) -> None:
    env = {"SNN_SWEEP_DATABASE_URL": recorded[0], "SNN_SWEEP_HOME": str(tmp_path / "home")}
    again = tmp_path / "again"
    assert run("paper", "digits", "--output", str(again), env=env).exit_code == 0
    assert digests(again) == digests(written)
    found = run("paper", "--check", str(written), env=env)
    assert (found.exit_code, found.stdout) == (0, f"{written}: every number is the record's\n")


def test_macros_are_the_numbers_of_the_results(file: Path, written: Path) -> None:
    text = (written / "macros.tex").read_text(encoding="utf-8")
    macros = read_macros(text)
    results = Results(str(file))
    for row in results.best_of_seeds().to_dict("records"):
        name = f"Digits{row['architecture'].capitalize()}{row['norm'].capitalize()}"
        assert macros[f"{name}Best"] == f"{100 * row['best']:.2f}"
        assert macros[f"{name}NSeeds"] == "3"
    gap = results.dependency_gap().set_index("architecture")
    assert macros["DigitsSnnGapPp"] == f"{gap.loc['snn', 'gap_pp']:.2f}"
    assert macros["DigitsSnnRatio"] == f"{gap.loc['snn', 'ratio']:.2f}"
    runs = results.by_seed().query("architecture == 'snn' and norm == 'bntt'")["run_id"]
    assert f"% digits snn bntt: runs {' '.join(runs)}\n" in text
    table = (written / "digits" / "best_of_seeds.tex").read_text(encoding="utf-8")
    assert f"% snn bntt: {' '.join(runs)}\n" in table


def test_a_number_that_differs_is_named(file: Path, written: Path, tmp_path: Path) -> None:
    def worse(archive: SweepArchive) -> SweepArchive:
        first, *rest = archive.trials
        points = [(k, s, t, 0.5 if k == "best_test_accuracy" else v) for k, s, t, v in first.points]
        return dataclasses.replace(
            archive, trials=(dataclasses.replace(first, points=points), *rest)
        )

    before = read_macros((written / "macros.tex").read_text(encoding="utf-8"))
    found = check(written, other(file, tmp_path, worse))
    assert found.exit_code == 1
    mean = Results(other(file, tmp_path, worse)).best_of_seeds()["mean"].iloc[0]
    told = f"\\DigitsAnnNoneMean: {before['DigitsAnnNoneMean']} → {100 * mean:.2f}\n"
    assert told in found.stdout
    assert "DigitsAnnBatchnormMean" not in found.stdout


def test_records_that_are_gone_are_named(file: Path, written: Path, tmp_path: Path) -> None:
    gone = read_archive(file).trials[-1].run_id
    path = other(file, tmp_path, lambda one: dataclasses.replace(one, trials=one.trials[:-1]))
    found = check(written, path)
    assert found.exit_code == 1
    assert f"run {gone}: of digits snn homeostatic → gone\n" in found.stdout
    assert "\\DigitsSnnHomeostaticNSeeds: 3 → 2\n" in found.stdout
    path = other(file, tmp_path, lambda one: dataclasses.replace(one, trials=()))
    found = check(written, path)
    assert found.exit_code == 1
    assert "sweep digits: recorded → gone: sweep 'digits' has no finished trial" in found.stdout


def test_an_imported_sweep_is_the_record_too(
    file: Path, written: Path, sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    uri = sqlite_database()
    storage = open_storage(str(tmp_path / "store")).folder("digits")
    import_sweep(connect(uri), read_archive(file), storage)
    env = {"SNN_SWEEP_DATABASE_URL": uri, "SNN_SWEEP_HOME": str(tmp_path / "home")}
    found = run("paper", "--check", str(written), env=env)
    assert found.exit_code == 0, found.stdout


def test_what_was_changed_by_hand_is_named_and_not_written_over(file: Path, written: Path) -> None:
    macros, table = written / "macros.tex", written / "digits" / "headline.tex"
    text = macros.read_text(encoding="utf-8")
    macros.write_text(re.sub(r"(AnnNoneBest\}\{)[\d.]+", r"\g<1>99.99", text), encoding="utf-8")
    table.write_text(
        table.read_text(encoding="utf-8").replace("artificial", "my"), encoding="utf-8"
    )
    (written / "digits" / "norm_gaps.tex").unlink()
    found = check(written, str(file))
    assert found.exit_code == 1
    assert "\\DigitsAnnNoneBest in macros.tex, changed by hand: 99.99 → " in found.stdout
    assert "digits/headline.tex, changed by hand: my CNN" in found.stdout
    assert "digits/norm_gaps.tex: written → missing\n" in found.stdout
    before = digests(written)
    again = run("paper", str(file), "--output", str(written))
    assert again.exit_code == 2
    assert "digits/headline.tex, macros.tex did not come from `snn-sweep paper`" in again.stderr
    assert digests(written) == before


def test_a_smaller_paper_removes_what_the_larger_one_left(
    file: Path, written: Path, tmp_path: Path
) -> None:
    path = other(file, tmp_path, lambda one: dataclasses.replace(one, name="Other one"))
    assert run("paper", path, "--output", str(written)).exit_code == 0
    assert not (written / "digits" / "headline.tex").exists()
    assert (written / "Other-one" / "headline.tex").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "needs one of --output DIR and --check DIR"),
        (("--output", "new"), "needs the NAME of a sweep"),
        (("FILE", "--output", "new", "--check", "x"), "needs one of"),
        (("FILE", "FILE", "--output", "new"), "'digits' is given twice"),
        (("none.jsonl", "--output", "new"), "'none.jsonl' cannot be read"),
        (("EMPTY", "--output", "new"), "has no finished trial"),
        (("--check", "new"), "manifest.json' cannot be read"),
        (("OTHER", "--check", "PAPER"), "has nothing of sweep 'other', but of digits"),
        (("--check", "BROKEN"), "is not a manifest of `snn-sweep paper`"),
    ],
)
def test_wrong_input_is_refused_and_creates_nothing(
    arguments: tuple[str, ...], message: str, file: Path, written: Path, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    archive = read_archive(file)
    write_archive(dataclasses.replace(archive, trials=()), Path("empty.jsonl"))
    write_archive(dataclasses.replace(archive, name="other"), Path("other.jsonl"))
    shutil.copytree(written, "broken")
    Path("broken/manifest.json").write_text('{"snn_sweep_paper": 1, "sweeps": []}')
    given = {
        "FILE": str(file), "EMPTY": "empty.jsonl", "OTHER": "other.jsonl", "PAPER": str(written),
        "BROKEN": "broken",
    }  # fmt: skip
    found = run("paper", *(given.get(one, one) for one in arguments))
    assert found.exit_code == 2
    assert message in found.stderr
    assert not Path("new").exists()


def number(sweep: str, *where: str, column: str = "mean") -> Number:
    return Number(sweep, where, column, 0.5, "50.00", (0,))


def test_names_are_letters_and_no_two_are_alike() -> None:
    numbers = [
        number("norms-digits", "snn", "homeostatic-shared", "threshold 0.3"),
        number("a b"), number("a-b"), number("数"), number("x", "weight_decay -1"),
        number("1st", "own_code:SlowNorm", column="ci_low_pp"),
    ]  # fmt: skip
    names = macro_names(numbers)
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[A-Za-z]+", name) for name in names)
    assert names[0] == "NormsDigitsSnnHomeostaticSharedThresholdZeroPointThreeMean"
    assert names[3:] == ["SweepMean", "XWeightDecayMinusOneMean", "OneStOwnCodeSlowNormCiLowPp"]
    assert all(re.fullmatch("ABMean[a-p]{8}", name) for name in names[1:3])


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs LaTeX")
def test_latex_takes_it(written: Path, tmp_path: Path) -> None:
    shutil.copytree(written, tmp_path / "paper")
    (tmp_path / "main.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,siunitx}\sisetup{detect-weight=true}"
        r"\input{paper/macros}\begin{document}\DigitsSnnBnttMean\input{paper/digits/headline}"
        r"\end{document}"
    )
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "main"], cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 0, done.stdout.decode()


DOCS = Path(__file__).parents[3] / "docs"
EXAMPLE = (DOCS / "publishing.md").read_text(encoding="utf-8")


def test_the_example_of_the_docs(control: str, tmp_path: Path) -> None:
    write_archive(export_sweep(connect(control), "digits"), tmp_path / "digits.jsonl.gz")
    file = str(tmp_path / "digits.jsonl.gz")
    assert run("paper", file, "--output", str(tmp_path / "numbers")).exit_code == 0
    known = read_macros((tmp_path / "numbers" / "macros.tex").read_text(encoding="utf-8"))
    macros = re.findall(r"\\(Digits[A-Za-z]+)", EXAMPLE)
    assert len(macros) == 3
    assert set(macros) <= set(known)
    example = EXAMPLE[EXAMPLE.index(r"    \input{numbers/macros}") :].partition("\n\n")[0]
    (tmp_path / "main.tex").write_text(
        r"\documentclass{article}\usepackage{booktabs,graphicx,siunitx}\begin{document}"
        + example
        + r"\end{document}",
        encoding="utf-8",
    )
    if shutil.which("pdflatex"):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "main"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stdout.decode(errors="replace")[-2000:]


def test_the_models_folder_of_the_docs(control: str) -> None:
    models = Results("digits", tracking_uri=control).models()
    names = {name.rpartition("-")[0] for name in folder_names(models).values()}
    page = (DOCS / "models.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"models/([\w.-]+)-1a2b3c4d", page)
    assert shown in names
