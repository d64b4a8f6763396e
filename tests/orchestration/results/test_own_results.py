"""Results and report of a recorded sweep of training code of the user's own."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from own_sweep import CONTENT, record
from recorded import Recorder

from orchestration import Results, SweepSpec
from orchestration.errors import InputError
from orchestration.model import columns
from orchestration.model.metric import Metric
from orchestration.report.write import write_report
from orchestration.results.comparison import comparison
from orchestration.results.recorded_trials import choose
from orchestration.tables import best_of_seeds
from orchestration.tables import comparison as comparison_table
from orchestration.tables.numbers import numbers_of
from orchestration.tables.report_data import read_report_data


@pytest.fixture
def uri(sqlite_database: Callable[[], str]) -> str:
    uri = sqlite_database()
    record(uri, "own")
    return uri


def test_the_best_is_what_the_goal_says(uri: str) -> None:
    results = Results("own", tracking_uri=uri)
    table = results.best_of_seeds()
    assert list(table)[:4] == ["method", "depth", "best", "best_seed"]
    assert table["best"].tolist() == [2.1, 1.6, 1.1, 40.1]
    assert table["best_seed"].tolist() == [1, 1, 1, 1]
    assert table["mean"].tolist() == pytest.approx([2.2, 1.7, 1.2, 40.15])
    assert table["n_seeds"].tolist() == table["n_expected"].tolist() == [3] * 4
    assert table["n_diverged"].tolist() == [0, 0, 0, 1]
    assert set(table["selected_on"]) == {"val_loss"}
    assert results.last_epoch()["best"].tolist() == [2.35, 1.85, 1.35, 40.35]
    seeds = results.by_seed()
    assert {"best_val_loss", "best_epoch", "last_val_loss"} <= set(seeds)
    assert seeds["best_epoch"].dropna().unique().tolist() == [2]
    expected = results.expected_best()
    assert expected[expected["n"] == 3]["expected_best"].tolist()[:3] == [2.1, 1.6, 1.1]


def test_a_sweep_may_be_judged_by_another_metric_afterwards(uri: str) -> None:
    changed = {**CONTENT, "metric": {"name": "val_iou", "goal": "maximize"}}
    Recorder(uri).parent("1", "own", SweepSpec.from_json(json.dumps(changed)).to_json())
    results = Results("own", tracking_uri=uri)
    assert results.best_of_seeds()["best"].tolist() == [0.75] * 4
    assert results.by_seed()["best_epoch"].dropna().unique().tolist() == [3, 1]


def test_a_metric_that_nothing_has_recorded_is_said(uri: str) -> None:
    changed = {**CONTENT, "metric": {"name": "val_los", "goal": "minimize"}}
    Recorder(uri).parent("1", "own", SweepSpec.from_json(json.dumps(changed)).to_json())
    with pytest.raises(InputError, match=r"recorded 'val_los', .*they have epoch_seconds, val_iou"):
        Results("own", tracking_uri=uri).best_of_seeds()


def test_differences_are_from_the_baseline_in_each_of_its_axes(uri: str) -> None:
    results = Results("own", tracking_uri=uri)
    table = results.differences()
    first = ["method", "depth", "compared", "against", "n_pairs"]
    assert table[first].values.tolist() == [
        ["ours", 18, "method", "baseline", 3],
        ["ours", 34, "method", "baseline", 2],
        ["baseline", 34, "depth", "18", 3],
        ["ours", 34, "depth", "18", 2],
    ]
    assert table["difference"].tolist() == pytest.approx([-1.0, 38.5, -0.5, 39.0])
    assert results.differences(last=True)["selected_on"].isna().all()
    for refused in (
        results.norm_differences, results.dependency_gap, results.decisions, results.basin,
        results.mean_ranks, results.energy, lambda: choose(results),
    ):  # fmt: skip
        with pytest.raises(InputError):
            refused()


def test_every_column_is_an_axis_a_metric_or_a_name_that_no_key_may_have(uri: str) -> None:
    results = Results("own", tracking_uri=uri)
    metrics = ("val_loss", "val_iou", "epoch_seconds")
    known = {"method", "depth", *columns.ALL}
    known |= {f"{prefix}{name}" for prefix in ("", "best_", "last_") for name in metrics}
    for table in (
        results.trials(numbered=True), results.curves(numbered=True), results.best_of_seeds(),
        results.by_seed(numbered=True), results.expected_best(numbered=True), results.models(),
        results.differences(), results.last_epoch(),
    ):  # fmt: skip
        assert set(table) <= known


def test_without_a_baseline_there_are_no_differences(sqlite_database: Callable[[], str]) -> None:
    uri = sqlite_database()
    record(uri, "own", baseline={})
    with pytest.raises(InputError, match="differences are from what a spec names as baseline"):
        Results("own", tracking_uri=uri).differences()


def test_trials_and_curves_have_every_metric_and_no_keys_of_ours(uri: str) -> None:
    results = Results("own", tracking_uri=uri)
    trials = results.trials()
    assert {"train", "method", "depth", "seed", "best_val_loss", "last_val_iou"} <= set(trials)
    assert not {"precision", "last_test_accuracy", "best_test_accuracy"} & set(trials)
    curves = results.curves()
    assert len(curves) == 11 * 3 + 1
    assert list(curves)[-3:] == ["epoch_seconds", "val_iou", "val_loss"]


def test_a_sweep_of_which_nothing_has_finished_has_its_report(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    Recorder(uri := sqlite_database()).sweep("own", json.dumps(CONTENT))
    assert list(Results("own", tracking_uri=uri).curves())[-1] == "epoch_seconds"
    page = write_report("own", tmp_path / "report", tracking_uri=uri)
    assert "no results" in page.read_text(encoding="utf-8")


def test_a_key_that_the_spec_has_no_longer_is_of_another_cell(uri: str) -> None:
    changed = {**CONTENT, "grid": [{"method": ["baseline", "ours"]}], "baseline": {}}
    Recorder(uri).parent("1", "own", SweepSpec.from_json(json.dumps(changed)).to_json())
    results = Results("own", tracking_uri=uri)
    assert results.best_of_seeds()["n_seeds"].tolist() == [0, 0]
    assert not results.trials()["in_spec"].any()


def test_tables_for_people_show_the_metric_as_it_is(uri: str) -> None:
    snapshot = Results("own", tracking_uri=uri).snapshot()
    best = snapshot.best_of_seeds()
    text = best_of_seeds.TABLE.write(best, "table", metric=snapshot.metric)
    assert "%" not in text.replace("95 % CI", "")
    assert "val_loss: smaller is better. Epochs selected on val_loss." in text
    markdown = best_of_seeds.TABLE.write(best, "markdown", metric=snapshot.metric)
    assert "**1.133**" in markdown, "the best of two: a cell has no more"
    assert markdown.count("**") == 2
    latex = best_of_seeds.TABLE.write(best, "latex", metric=snapshot.metric)
    assert r"val\_loss: smaller" in latex
    assert r"\bfseries 1.133" in latex


def test_the_report_leaves_out_what_is_of_norms(uri: str, tmp_path: Path) -> None:
    page = write_report("own", tmp_path, tracking_uri=uri).read_text(encoding="utf-8")
    files = {path.stem for path in tmp_path.iterdir()}
    assert {"best_of_seeds", "differences", "last_epoch", "trials", "curves"} <= files
    assert not {"headline", "dependency_gap", "norm_gaps", "norm_differences"} & files
    figures = {path.stem for path in (tmp_path / "figures").iterdir()}
    assert figures == {"accuracy-by-seed", "learning-curves", "cost"}
    assert "Training by nowhere_at_all:Run." in page
    assert "Differences from the baseline" in page
    assert "accuracy" not in page.replace("accuracy-by-seed", "")
    assert "depth 34, method ours: diverged 1/3" in page
    read = pd.read_csv(tmp_path / "differences.csv")
    assert read["difference"].tolist() == pytest.approx([-1.0, 38.5, -0.5, 39.0])


def test_a_paper_may_quote_its_numbers_as_they_are(uri: str) -> None:
    found = {
        (number.where, number.column): (number.text, number.cells)
        for number in numbers_of(read_report_data(Results("own", tracking_uri=uri)))
    }
    assert found[("method ours", "depth 18"), "best"] == ("1.100", (2,))
    where = ("method ours", "depth 34", "against depth 18")
    assert found[where, "difference"] == ("39.00", (3, 2))


def test_two_sweeps_are_compared_if_one_metric_judges_them(uri: str) -> None:
    record(uri, "longer")
    found, metric = comparison("own", "longer", tracking_uri=uri)
    assert metric == Metric("val_loss", "minimize")
    assert found["difference"].tolist() == [0.0] * 4
    assert "best A" in comparison_table.TABLE.write(found, "table", metric=metric)
    record(uri, "other", metric={"name": "val_iou", "goal": "maximize"})
    with pytest.raises(InputError, match=r"own is judged by val_loss \(minimize\), other by val_"):
        comparison("own", "other", tracking_uri=uri)
