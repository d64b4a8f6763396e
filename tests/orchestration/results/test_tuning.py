"""The gap of tuned sides, and the basin, of accuracies written down here."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded import RecordedTrial, Recorder
from scipy import stats

from orchestration.errors import InputError
from orchestration.results.effects.tuning import basin, tuned_gap
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from orchestration.tables import basin as basin_table
from orchestration.tables import tuned_gap as tuned_gap_table
from orchestration.tables.report_data import ReportData

AXES = ["architecture", "norm", "threshold"]
Accuracies = Mapping[tuple[str, float], Sequence[float]]


def frames(
    accuracies: Accuracies, selecting: Accuracies | None = None
) -> tuple[pd.DataFrame, pd.DataFrame, list[str]]:
    """Cells and trials of a spiking network: each seed's accuracy by norm and threshold."""
    cells, seeds = [], []
    for number, ((norm, threshold), values) in enumerate(accuracies.items()):
        counts = {"n_seeds": len(values), "n_expected": 3, "n_collapsed": 0, "n_diverged": 0}
        place = {"architecture": "snn", "norm": norm, "threshold": threshold}
        cells.append({**place, **counts, "selected_on": "10 %", "as_built": threshold == 1.0})
        chosen = (selecting or accuracies)[norm, threshold]
        for seed, (value, by) in enumerate(zip(values, chosen, strict=True)):
            trial = {"best_test_accuracy": value, "selecting_accuracy": by}
            seeds.append({"cell": number, "seed": seed, **trial})
    columns = ["cell", "seed", "best_test_accuracy", "selecting_accuracy"]
    return pd.DataFrame(cells), pd.DataFrame(seeds, columns=columns), AXES


CONTROL: Accuracies = {
    ("none", 1.0): (0.1, 0.1, 0.1),
    ("none", 0.3): (0.97, 0.96, 0.98),
    ("bntt", 1.0): (0.98, 0.97, 0.99),
    ("bntt", 0.3): (0.90, 0.91, 0.89),
}


def test_the_gap_as_built_and_tuned() -> None:
    (row,) = tuned_gap(*frames(CONTROL)).to_dict("records")
    assert row["built_gap_pp"] == pytest.approx(88.0)
    assert (row["built_none"], row["built"]) == pytest.approx((0.1, 0.98))
    assert (row["tuned_none"], row["tuned"]) == pytest.approx((0.97, 0.98))
    assert row["tuned_gap_pp"] == pytest.approx(1.0)
    assert (row["none_at"], row["norm_at"]) == ("threshold 0.3", "threshold 1")
    assert row["is_standard"]
    assert row["note"] == ""


def test_its_interval_is_paired_by_seed() -> None:
    control = {**CONTROL, ("bntt", 1.0): (0.98, 0.98, 0.985)}
    (row,) = tuned_gap(*frames(control)).to_dict("records")
    found = stats.ttest_rel([0.98, 0.98, 0.985], [0.97, 0.96, 0.98]).confidence_interval()
    assert (row["tuned_ci_low_pp"], row["tuned_ci_high_pp"]) == pytest.approx(
        (100 * found.low, 100 * found.high)
    )


def test_held_out_images_choose_and_the_test_set_is_reported() -> None:
    selecting = {**CONTROL, ("none", 1.0): (0.99, 0.99, 0.99)}
    (row,) = tuned_gap(*frames(CONTROL, selecting)).to_dict("records")
    assert row["none_at"] == "threshold 1"
    assert row["tuned_none"] == pytest.approx(0.1)


def test_without_the_reference_or_a_side_there_is_no_number() -> None:
    only = {key: value for key, value in CONTROL.items() if key != ("none", 1.0)}
    (row,) = tuned_gap(*frames(only)).to_dict("records")
    assert math.isnan(row["built_gap_pp"])
    assert math.isnan(row["built_none"])
    assert row["built"] == pytest.approx(0.98)
    assert row["note"] == "not the same settings tried"
    (row,) = tuned_gap(*frames({("bntt", 1.0): (0.9,)})).to_dict("records")
    assert math.isnan(row["tuned_gap_pp"])
    assert row["note"].startswith("bntt: incomplete 1/3; none: no results")
    assert tuned_gap(*frames({("none", 1.0): (0.9,)})).empty


def test_a_row_each_norm() -> None:
    more = {**CONTROL, ("mine:Norm", 1.0): (0.5, 0.5, 0.5)}
    table = tuned_gap(*frames(more), by_norm=True)
    assert table["norm"].tolist() == ["bntt", "mine:Norm"]
    assert table["is_standard"].tolist() == [True, False]


def test_the_basin_is_a_share_of_settings() -> None:
    grid = (1.0, 0.7, 0.5, 0.3)
    none = [(0.1, 0.1, 0.1), (0.1, 0.1, 0.1), (0.95, 0.94, 0.96), (0.97, 0.96, 0.98)]
    bntt = [(0.98, 0.97, 0.99)] * 3 + [(0.97, 0.95, 0.98)]
    accuracies = {
        (norm, threshold): values
        for norm, rows in (("none", none), ("bntt", bntt))
        for threshold, values in zip(grid, rows, strict=True)
    }
    without, with_norm = basin(*frames(accuracies)).to_dict("records")
    # 0.5 is exactly 2 points below 0.3 on average, and as surely so: all seeds agree.
    assert (without["basin"], without["basin_low"], without["basin_high"]) == (0.5, 0.5, 0.5)
    assert without["basin_of_all"] == 0.25
    assert (with_norm["basin"], with_norm["basin_of_all"]) == (1.0, 1.0)
    # At 0.3 seeds differ by 1, 2 and 1 points: whether the mean is below 2 is not certain.
    assert (with_norm["basin_low"], with_norm["basin_high"]) == (0.75, 1.0)
    assert (without["best_at"], with_norm["best_at"]) == ("threshold 0.3", "threshold 1")
    assert basin(*frames(accuracies), 0.5)["basin"].tolist() == [0.25, 0.75]


def test_the_certain_ends_hold_for_all_settings_at_once() -> None:
    """Of simulated sweeps whose settings all lie just beyond the margin, 95 % hold theirs."""
    random = np.random.default_rng(0)
    means = [0.95, *[0.9299] * 8]
    truth = sum(mean >= 0.93 for mean in means) / len(means)
    held = 0
    for _ in range(150):
        accuracies = {
            ("none", float(place)): tuple(random.normal(mean, 0.004, 5))
            for place, mean in enumerate(means, 1)
        }
        (row,) = basin(*frames(accuracies)).to_dict("records")
        held += row["basin_low"] - 1e-9 <= truth <= row["basin_high"] + 1e-9
    assert held >= 0.93 * 150


def test_what_one_seed_or_none_says_of_the_basin() -> None:
    one = {("none", 1.0): (0.9,), ("none", 0.5): (0.89,), ("none", 0.3): ()}
    (row,) = basin(*frames(one)).to_dict("records")
    assert row["basin"] == 1.0
    assert (row["basin_low"], row["basin_high"]) == pytest.approx((1 / 3, 1.0))
    assert (row["n_settings"], row["n_settings_expected"]) == (2, 3)
    assert row["note"] == "1 of 3 settings without results; best setting: incomplete 1/3"
    (row,) = basin(*frames({("none", 1.0): ()})).to_dict("records")
    assert math.isnan(row["basin"])
    assert math.isnan(row["best"])


def test_a_trial_that_diverged_at_once_counts_as_nothing_reached() -> None:
    diverging = {**CONTROL, ("none", 0.3): (0.97, math.nan, math.nan)}
    (row,) = tuned_gap(*frames(diverging)).to_dict("records")
    assert row["tuned_none"] == pytest.approx(0.97 / 3)


def test_points_must_be_a_distance() -> None:
    for points in (-1.0, math.nan):
        with pytest.raises(InputError, match="points must be 0 or more"):
            basin(*frames(CONTROL), points)


def test_a_recorded_sweep(sqlite_database: Callable[[], str]) -> None:
    """Depths are networks of their own; held-out accuracy is taken at the best epoch."""
    spec = SweepSpec.from_dict(
        {
            "name": "control",
            "dataset": "digits",
            "epochs": 2,
            "seeds": [1, 2],
            "training": {"validation_fraction": 0.1},
            "grid": [
                {"architecture": "snn", "norm": ["none", "bntt"], "trunk": "resnet",
                 "depth": [8, 14], "threshold": [1.0, 0.5], "learning_rate": [0.001, 0.01]}
            ],
        }
    )  # fmt: skip
    url = sqlite_database()
    recorder = Recorder(url)
    experiment, parent = recorder.sweep("control", spec.to_json())
    for trial in spec.trials():
        config: dict[str, Any] = trial.config.given()
        learns = config["norm"] == "bntt" or config["threshold"] == 0.5
        # The last epoch's held-out accuracy would choose 0.01, that of the best epoch 0.001.
        good = config["learning_rate"] == 0.001
        held_out = [0.9, 0.2] if good else [0.8, 0.3]
        metrics = {"validation_accuracy": held_out if learns else [0.1, 0.1]}
        accuracy = (0.7 + config["depth"] / 100 + config["seed"] / 1000) if learns else 0.1
        recorder.trial(
            experiment,
            parent,
            RecordedTrial(config, [accuracy, 0.99], key=trial.key, metrics=metrics),
        )
    results = Results("control", database_url=url)
    table = results.dependency_gap(tuned=True)
    assert list(table.columns[:3]) == ["architecture", "norm", "depth"]
    assert table["depth"].tolist() == [8, 14]
    assert table["built_gap_pp"].tolist() == pytest.approx([68.15, 74.15])
    assert table["tuned_gap_pp"].tolist() == pytest.approx([0.0, 0.0])
    assert set(table["norm_at"]) == {"learning_rate 0.001, threshold 1"}
    assert set(table["none_at"]) == {"learning_rate 0.001, threshold 0.5"}
    shares = results.basin()
    lines = tuned_gap_table.TABLE.write(results.dependency_gap(tuned=True), "markdown").splitlines()
    assert lines[2] == (
        "| snn | bntt (standard) | 8 | as built | 10.00 | 78.15 | 68.15 | 67.51 to 68.79 |  |  |"
    )
    assert lines[3].startswith("| snn | bntt (standard) | 8 | tuned | 78.15 | 78.15 | 0.00 | ")
    assert lines[-1] == "Epochs and settings selected on 10 % held-out training images."
    assert "| snn | none | 8 | 50.00 | 50.00–50.00 |" in basin_table.TABLE.write(shares, "markdown")
    keys = itertools.product((8, 14), ("none", "bntt"))
    assert dict(zip(keys, shares["basin"], strict=True)) == {
        (8, "none"): 0.5, (8, "bntt"): 1.0, (14, "none"): 0.5, (14, "bntt"): 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(("settings_of_bntt", "compare"), [([1.0], False), ([1.0, 0.5], True)])
def test_basins_are_compared_where_several_norms_have_several_settings(
    settings_of_bntt: list[float], compare: bool, sqlite_database: Callable[[], str]
) -> None:
    recorder = Recorder(uri := sqlite_database())
    grid = [
        {"architecture": "snn", "norm": "none", "threshold": [1.0, 0.5]},
        {"architecture": "snn", "norm": "bntt", "threshold": settings_of_bntt},
    ]
    given = {"name": "basins", "dataset": "digits", "epochs": 1, "seeds": [1], "grid": grid}
    spec = SweepSpec.from_dict(given)
    experiment, parent = recorder.sweep("basins", spec.to_json())
    for cell in spec.cells():
        recorder.trial(experiment, parent, RecordedTrial({**cell.given(), "seed": 1}, [0.5]))
    snapshot = Results("basins", tracking_uri=uri).snapshot()
    assert snapshot.has_settings
    shown = basin_table.TABLE.of(ReportData("basins", snapshot))
    assert (shown is not None) == compare
