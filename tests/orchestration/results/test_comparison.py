"""Two sweeps side by side."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
from recorded import RecordedTrial, Recorder

from orchestration.errors import InputError
from orchestration.results.comparison import compare, compare_sweeps, published_headline
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec


def best(*cells: dict[str, Any]) -> pd.DataFrame:
    counts: dict[str, Any] = {"n_seeds": 3, "n_expected": 3, "n_collapsed": 0, "n_diverged": 0}
    counts |= {"selected_on": "the test set", "dataset": "digits", "epochs": 8}
    return pd.DataFrame([{"architecture": "ann", **cell, **counts} for cell in cells])


def cell(norm: str, value: float, **axes: Any) -> dict[str, Any]:
    return {"norm": norm, **axes, "best": value, "mean": value - 0.125}


def test_cells_that_agree_stand_side_by_side() -> None:
    first = best(cell("none", 0.5), cell("batchnorm", 0.75))
    second = best(cell("batchnorm", 0.5), cell("homeostatic", 0.25))
    table = compare(first, second)
    assert list(table) == [
        "architecture", "norm", "best_a", "best_b", "difference_pp", "mean_a", "mean_b",
        "mean_difference_pp", "n_seeds_a", "n_expected_a", "n_seeds_b", "n_expected_b", "note",
        "selected_on_a", "selected_on_b", "dataset_a", "dataset_b", "epochs_a", "epochs_b",
    ]  # fmt: skip
    assert table["norm"].tolist() == ["none", "batchnorm", "homeostatic"]
    assert table["best_a"].tolist()[:2] == [0.5, 0.75]
    assert table["best_b"].tolist()[1:] == [0.5, 0.25]
    assert table["difference_pp"].isna().tolist() == [True, False, True]
    assert table.loc[1, ["difference_pp", "mean_difference_pp"]].tolist() == [25.0, 25.0]
    assert table["n_seeds_b"].tolist() == [pd.NA, 3, 3]
    assert table["note"].tolist() == ["B: not there", "", "A: not there"]


def test_an_axis_of_one_sweep_alone_tells_its_cells_apart() -> None:
    first = best(cell("none", 0.5, width=8), cell("none", 0.75, width=16))
    table = compare(first, best(cell("none", 0.25)))
    assert table[["width", "best_a", "best_b"]].to_numpy().tolist() == [
        [8, 0.5, 0.25],
        [16, 0.75, 0.25],
    ]
    table = compare(best(cell("none", 0.25)), first)
    assert table[["width", "best_a", "best_b"]].to_numpy().tolist() == [
        [8, 0.25, 0.5],
        [16, 0.25, 0.75],
    ]


def test_numbers_agree_however_they_are_written() -> None:
    first = best(cell("none", 0.5, slope=1), cell("bntt", 0.5, slope=None))
    second = best(cell("none", 0.5, slope=1.0), cell("bntt", 0.5, slope=None))
    assert compare(first, second)["note"].tolist() == ["", ""]


def test_an_incomplete_cell_says_so() -> None:
    first = best(cell("none", 0.5))
    first["n_seeds"] = 2
    assert compare(first, first)["note"].tolist() == ["A: incomplete 2/3; B: incomplete 2/3"]


def test_the_published_headline() -> None:
    table = published_headline()
    shown = dict(zip(zip(table["architecture"], table["norm"], strict=True), table["best"],
                     strict=True))  # fmt: skip
    assert shown == {
        ("ann", "none"): 0.8878,
        ("ann", "batchnorm"): 0.9227,
        ("ann", "homeostatic"): 0.9251,
        ("snn", "none"): 0.1,
        ("snn", "bntt"): 0.862,
        ("snn", "homeostatic"): 0.7869,
    }
    assert table[["mean", "std", "ci_low", "ci_high", "best_seed"]].isna().all(axis=None)
    assert table["n_collapsed"].tolist() == [0, 0, 0, 3, 0, 0]


def test_a_sweep_against_the_published_headline(sqlite_database: Callable[[], str]) -> None:
    url = sqlite_database()
    spec = SweepSpec.load("headline")
    recorder = Recorder(url)
    experiment, parent = recorder.sweep("headline", spec.to_json())
    for trial in spec.trials():
        if trial.config.norm != "homeostatic":
            recorder.trial(experiment, parent, RecordedTrial(trial.config.given(), [0.5, 0.875]))
    assert list(published_headline()) == list(Results("headline", database_url=url).best_of_seeds())
    table = compare_sweeps("headline", "headline-published", database_url=url)
    assert table["best_b"].tolist() == [0.8878, 0.9227, 0.9251, 0.1, 0.862, 0.7869]
    assert table["difference_pp"].tolist()[:2] == pytest.approx([87.5 - 88.78, 87.5 - 92.27])
    assert table["note"].tolist()[2] == "A: no results"
    assert table["note"].tolist()[3] == "B: collapsed 3/3"
    with pytest.raises(InputError, match="no sweep is named 'headlin'"):
        compare_sweeps("headlin", "headline-published", database_url=url)
