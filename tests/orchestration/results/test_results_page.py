"""The numbers of the worked example in docs/results.md, derived again from its table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import RecordedTrial, Recorder

from orchestration.results.comparison import compare_sweeps
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec

DOCS = Path(__file__).parents[3] / "docs"
PAGE = (DOCS / "results.md").read_text(encoding="utf-8")
MINUS = "\N{MINUS SIGN}"
EXAMPLE = PAGE.partition("## A worked example")[2].partition("\n## ")[0]


@pytest.fixture
def results(sqlite_database: Callable[[], str]) -> Results:
    """The example's sweep, as its table has it."""
    url = sqlite_database()
    seeds = [int(seed) for seed in re.findall(r"seed (\d+) \|", EXAMPLE)]
    rows = re.findall(r"^\| (none|batchnorm) \| (.*) \|$", EXAMPLE, re.MULTILINE)
    spec = SweepSpec.from_dict(
        {
            "name": "example",
            "dataset": "digits",
            "epochs": 1,
            "seeds": seeds,
            "grid": [{"architecture": "ann", "norm": [norm for norm, _ in rows]}],
        }
    )
    recorder = Recorder(url)
    experiment, parent = recorder.sweep("example", spec.to_json())
    for cell, (_, row) in zip(spec.cells(), rows, strict=True):
        for seed, text in zip(seeds, row.split(" | "), strict=True):
            value = float(text)
            trial = RecordedTrial({**cell.given(), "seed": seed}, [value])
            trial.outcome = "collapsed" if value == 0.1 else "completed"
            recorder.trial(experiment, parent, trial)
    return Results("example", database_url=url)


def said(pattern: str) -> list[float]:
    """The numbers at the pattern's groups, wherever a line of the example breaks."""
    match = re.search(pattern, " ".join(EXAMPLE.split()))
    assert match, f"the example does not say {pattern}"
    return [float(number.replace(MINUS, "-")) for number in match.groups()]


N = rf"({MINUS}?\d+(?:\.\d+)?)"


def test_cells(results: Results) -> None:
    none, batchnorm = results.best_of_seeds().to_dict("records")
    assert said(f"`none`: best {N} of seed {N}, mean .*? = {N}\\.") == pytest.approx(
        [none["best"], none["best_seed"], none["mean"]], abs=5e-5
    )
    assert said(f"make std √0.19 = {N}\\.") == pytest.approx([none["std"]], abs=5e-5)
    assert said(f"/ √3: from {N} to {N},") == pytest.approx(
        [none["ci_low"], none["ci_high"]], abs=5e-5
    )
    counts = [none["n_seeds"], none["n_expected"], none["n_collapsed"]]
    assert said(f"`n_seeds` {N}, `n_expected` {N}, `n_collapsed` {N}\\.") == counts
    names = ("best", "mean", "std", "ci_low", "ci_high")
    found = said(f"`batchnorm`: best {N}, mean {N}, std {N}, from {N} to {N}\\.")
    assert found == pytest.approx([batchnorm[name] for name in names], abs=5e-5)


def test_further_statistics(results: Results) -> None:
    expected = results.expected_best()
    by_n = expected[expected["norm"] == "none"].set_index("n")["expected_best"]
    found = said(f"so {N}; of one {N}, of three {N}\\.")
    assert found == pytest.approx([by_n[2], by_n[1], by_n[3]], abs=5e-5)
    (row,) = results.norm_differences().to_dict("records")
    found = said(f"on average {N}, from {N} to {N}; t = {N}, p = {N}\\. .*?`p_holm` is {N}")
    assert found[:3] == pytest.approx(
        [row["difference_pp"], row["ci_low_pp"], row["ci_high_pp"]], abs=5e-3
    )
    assert found[3:] == pytest.approx([row["t"], row["p"], row["p_holm"]], abs=5e-5)
    (gap,) = results.dependency_gap().to_dict("records")
    assert said(f"= {N} points, noted") == pytest.approx([gap["gap_pp"]], abs=5e-3)
    assert f"noted `{gap['note']}`" in " ".join(EXAMPLE.split())


def test_every_column_is_explained(results: Results) -> None:
    shown = [
        results.best_of_seeds(),
        results.last_epoch(),
        results.by_seed(),
        results.expected_best(),
        results.norm_differences(),
        results.dependency_gap(),
        compare_sweeps("headline-published", "headline-published"),
    ]
    pages = PAGE + (DOCS / "publishing.md").read_text(encoding="utf-8")
    for column in {column for frame in shown for column in frame} - {"architecture", "norm"}:
        if not re.fullmatch(r"(mean|n_.*)_[ab]|mean_difference_pp", column):
            assert f"`{column}`" in pages, column
