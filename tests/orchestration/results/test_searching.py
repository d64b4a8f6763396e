"""What searches have found: setting by setting, by cell, and against the budget."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from searched import Recorded, searched
from specs import spec as plain_spec

from orchestration.errors import InputError
from orchestration.model.metric import Metric
from orchestration.results.effects.search_budget import (
    best_of_settings,
    searched_basin,
    tuned_gap_by_budget,
)
from orchestration.results.results import Results
from orchestration.sweep.continued import continued
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.tpe import with_next_round
from orchestration.tables import search as search_of_tables
from orchestration.tables.registry import TABLES
from orchestration.tables.report_data import ReportData

HELD_OUT = Metric("validation_accuracy", is_fraction=True)


@pytest.fixture
def pruned() -> Results:
    """The results of a search that prunes."""
    return pruned_results()


def pruned_results() -> Results:
    """Two cells of four settings; the second half was pruned after the first epoch."""
    spec = searched(prune={"keep": 0.5, "at": [1]})
    recorded = Recorded(spec)
    for cell, of_cell in enumerate(spec.setting_trials([0, 101, 102])):
        for number, (tried, *fresh) in enumerate(of_cell):
            score = 0.5 + 0.1 * number + 0.05 * cell
            if number in (2, 3):
                recorded.add(tried, [score - 0.1, score, score - 0.05])
            else:
                recorded.add(tried, [score - 0.1], outcome="pruned", status="KILLED")
            # Seeds of a setting that is not the best any more do not count.
            for seed, trial in enumerate(fresh if number in (2, 3) else ()):
                recorded.add(trial, [0.3, 0.9], [0.2, 0.6 + 0.1 * number + 0.02 * seed])
    return recorded.results()


def test_a_row_a_setting_with_its_score_what_it_took_and_which_is_the_best(pruned: Results) -> None:
    table = pruned.search()
    first = table[table["norm"] == "none"]
    assert first["setting"].tolist() == [1, 2, 3, 4]
    assert first["state"].tolist() == ["pruned", "pruned", "finished", "finished"]
    assert first["best_validation_accuracy"].tolist() == pytest.approx([0.4, 0.5, 0.7, 0.8])
    assert first["epochs"].tolist() == [1, 1, 3, 3]
    assert first["hours"].tolist() == pytest.approx([0.01, 0.01, 0.03, 0.03])
    assert first["is_best"].tolist() == [False, False, False, True]
    assert first["n_seeds"].tolist() == [0, 0, 1, 1]
    assert first["learning_rate"].between(1e-3, 1e-1).all()


def test_the_trials_of_a_cell_are_the_fresh_seeds_of_its_best_setting(pruned: Results) -> None:
    seeds = pruned.by_seed()
    assert seeds["seed"].tolist() == [101, 102] * 2
    assert seeds["best_test_accuracy"].tolist() == pytest.approx([0.9, 0.92] * 2)
    best = pruned.best_of_seeds()
    assert best[["n_seeds", "n_expected"]].to_numpy().tolist() == [[2, 2], [2, 2]]
    # What differs is compared by these alone, as in any other sweep.
    assert pruned.dependency_gap()["gap_pp"].tolist() == pytest.approx([0.0])
    assert pruned.norm_differences()["n_pairs"].tolist() == [2]
    trials = pruned.trials()
    assert trials["in_spec"].tolist().count(False) == 4  # of settings that are not the best
    assert len(trials) == 2 * (2 + 4)


def test_a_row_a_cell_says_what_the_search_took_and_what_its_best_came_to(pruned: Results) -> None:
    (row, _) = pruned.searched().to_dict("records")
    assert (row["n_settings"], row["n_settings_expected"], row["n_pruned"]) == (4, 4, 2)
    assert (row["epochs"], row["hours"]) == (8, pytest.approx(0.08))
    assert (row["searched_best"], row["mean"]) == (pytest.approx(0.8), pytest.approx(0.91))
    rate = pruned.search()["learning_rate"].iloc[3]
    assert row["best_at"] == f"learning_rate {rate:g}"
    text = search_of_tables.TABLE.write(pruned.searched(), "markdown")
    assert "| ann | none | 4/4 | 2 | 8 | 0.08 | 80.00 |" in text


def test_the_best_setting_near_an_end_of_its_range_says_what_to_widen() -> None:
    spec = searched(trials=64)
    recorded = Recorded(spec)
    settings = spec.settings()[0]
    for setting, (trial,) in zip(settings, spec.setting_trials([0])[0], strict=True):
        recorded.add(trial, [setting.values["learning_rate"]])  # the larger, the better
    (row, other) = recorded.results().searched().to_dict("records")
    rate = max(setting.values["learning_rate"] for setting in settings)
    assert row["note"] == f"learning_rate {rate:g} is near the upper end 0.1: widen its range"
    assert (other["note"], other["best_at"], other["n_settings"]) == ("", "", 0)
    table = recorded.results().search()
    near = table["note"] != ""
    assert 4 <= near[table["norm"] == "none"].sum() <= 9  # a tenth of 64


def test_the_next_best_settings_stand_beside_the_best_one_which_alone_is_compared() -> None:
    spec = searched(confirm=2)
    recorded = Recorded(spec)
    for of_cell in spec.setting_trials([0, 101, 102]):
        for number, (tried, *fresh) in enumerate(of_cell):
            recorded.add(tried, [0.5 + 0.1 * number])
            # On fresh seeds the second best is better, and the third was the best once.
            for trial in fresh if number else ():
                recorded.add(trial, [0.5], [{3: 0.6, 2: 0.9, 1: 0.7}[number]])
    results = recorded.results()
    table = results.confirmed()
    assert table["norm"].tolist() == ["none", "none", "batchnorm", "batchnorm"]
    assert table["search_rank"].tolist() == [1, 2, 1, 2]
    assert table["searched_best"].tolist() == pytest.approx([0.8, 0.7] * 2)
    assert table["mean"].tolist() == pytest.approx([0.6, 0.9] * 2)
    assert table["n_seeds"].tolist() == [2] * 4
    assert results.searched()["mean"].tolist() == pytest.approx([0.6, 0.6])
    assert results.best_of_seeds()["mean"].tolist() == pytest.approx([0.6, 0.6])
    trials = results.trials()
    assert trials["in_spec"].tolist().count(False) == 2 * 2  # of the third
    data = ReportData("small", results.snapshot())
    frame = TABLES["confirmed"].of(data)
    assert frame is not None
    text = TABLES["confirmed"].write(frame, "markdown")
    rate = results.search()["learning_rate"].iloc[2]
    assert f"| ann | none | 2 | learning_rate {rate:g} | 70.00 | 90.00 |" in text
    for single in (pruned_results(), Recorded(SweepSpec.from_dict(plain_spec())).results()):
        assert TABLES["confirmed"].of(ReportData("small", single.snapshot())) is None


@pytest.mark.parametrize("outcome", ["collapsed", "diverged"])
def test_a_cell_of_which_no_setting_learned_anything_says_so(outcome: str) -> None:
    spec = searched()
    recorded = Recorded(spec)
    for of_cell, end in zip(spec.setting_trials([0]), (outcome, "completed"), strict=True):
        for (trial,) in of_cell:
            recorded.add(trial, [math.nan if end == "diverged" else 0.1], outcome=end)
    lost, other = recorded.results().searched()["note"]
    assert lost == "every setting collapsed or diverged"
    assert not other


def test_a_sweep_without_a_search_has_no_such_table(pruned: Results) -> None:
    spec = SweepSpec.from_dict(plain_spec())
    with pytest.raises(InputError, match="this one has none"):
        Recorded(spec).results().search()
    assert not Recorded(spec).results().has_search
    assert pruned.has_search


def test_an_unfinished_search_has_a_best_setting_so_far_and_no_seeds() -> None:
    spec = searched()
    recorded = Recorded(spec)
    trials = spec.setting_trials([0])[1]
    recorded.add(trials[1][0], [0.7, 0.6, 0.6])
    recorded.add(trials[2][0], [0.9], outcome=None, status="RUNNING")
    results = recorded.results()
    table = results.search()
    states = table[table["norm"] == "batchnorm"]["state"].tolist()
    assert states == ["waiting", "finished", "unfinished", "waiting"]
    assert table["is_best"].sum() == 1
    assert results.best_of_seeds()["n_seeds"].tolist() == [0, 0]


def table_of(**scores: Sequence[float]) -> pd.DataFrame:
    rows = [
        {"architecture": "ann", "norm": norm, "cell": cell, "best_validation_accuracy": score}
        for cell, (norm, of_cell) in enumerate(scores.items())
        for score in of_cell
    ]
    return pd.DataFrame(rows)


AXES = ["architecture", "norm"]


def test_the_expected_best_of_n_settings_is_the_mean_over_all_choices_of_n() -> None:
    scores = [0.1, 0.5, 0.2, 0.9, 0.4]
    found = best_of_settings(table_of(none=scores, batchnorm=[0.3]), AXES, HELD_OUT)
    of_none = found[found["norm"] == "none"]
    expected = [np.mean([max(c) for c in itertools.combinations(scores, n)]) for n in range(1, 6)]
    assert of_none["expected_best"].tolist() == pytest.approx(expected)
    assert (of_none["ci_low"] <= of_none["expected_best"]).all()
    assert (of_none["ci_high"].iloc[-1], len(found)) == (pytest.approx(0.9), 6)
    smaller = best_of_settings(
        table_of(none=scores).rename(columns={"best_validation_accuracy": "best_loss"}),
        AXES,
        Metric("loss", "minimize"),
    )
    expected = [np.mean([min(c) for c in itertools.combinations(scores, n)]) for n in range(1, 6)]
    assert smaller["expected_best"].tolist() == pytest.approx(expected)


def test_the_tuned_gap_at_each_budget_has_the_choice_of_the_best_in_its_interval() -> None:
    none, norm = [0.1, 0.2, 0.6, 0.3], [0.5, 0.7, 0.6, 0.65]
    found = tuned_gap_by_budget(table_of(none=none, batchnorm=norm), AXES, HELD_OUT)
    assert found["n_settings"].tolist() == [1, 2, 3, 4]
    assert found["tuned_gap_pp"].iloc[0] == pytest.approx(100 * (np.mean(norm) - np.mean(none)))
    assert found["tuned_gap_pp"].iloc[-1] == pytest.approx(10.0)
    assert (found["tuned_ci_low_pp"] <= found["tuned_gap_pp"]).all()
    assert (found["tuned_ci_high_pp"] >= found["tuned_gap_pp"]).all()


def test_the_interval_of_a_tuned_gap_holds_0_in_19_of_20_searches_of_two_equal_sides() -> None:
    chance = np.random.default_rng(0)
    wrong = np.zeros(6)
    for _ in range(20):
        none, norm = chance.beta(1, 3, (2, 6))
        found = tuned_gap_by_budget(table_of(none=none, batchnorm=norm), AXES, HELD_OUT)
        wrong += (found["tuned_ci_low_pp"] > 0) | (found["tuned_ci_high_pp"] < 0)
    assert wrong.max() <= 4  # of 20, where 1 is expected


def test_the_interval_of_a_tuned_gap_may_be_narrower_than_its_steps() -> None:
    table = table_of(none=[0.1] * 6, batchnorm=[0.9] * 6)
    found = tuned_gap_by_budget(table, AXES, HELD_OUT)
    assert found["tuned_gap_pp"].tolist() == pytest.approx([80.0] * 6)
    assert found["tuned_ci_low_pp"].between(70, 80).all()


def test_the_basin_of_a_search_has_an_exact_interval() -> None:
    scores = [0.9, 0.89, 0.5, 0.2, 0.885, 0.1, 0.3, 0.4]
    (row,) = searched_basin(table_of(none=scores), AXES, HELD_OUT, 0.02).to_dict("records")
    exact = stats.binomtest(3, 8).proportion_ci(method="exact")
    assert row["basin"] == 3 / 8
    assert (row["basin_low"], row["basin_high"]) == pytest.approx((exact.low, exact.high))
    (all_near,) = searched_basin(table_of(none=[0.9, 0.9]), AXES, HELD_OUT, 0.02).to_dict("records")
    assert (all_near["basin"], all_near["basin_high"]) == (1.0, 1.0)
    with pytest.raises(InputError, match="must be 0 or more"):
        searched_basin(table_of(none=scores), AXES, HELD_OUT, -0.1)


def test_the_recorded_spec_of_a_search_is_as_it_was_written() -> None:
    recorded = json.loads(searched().to_json())
    assert "seeds" not in recorded
    assert recorded["confirm"] == {"settings": 1, "seeds": [101, 102]}


def test_of_tpe_the_best_is_that_of_the_first_settings_and_the_basin_is_of_its_first_round() -> (
    None
):
    spec = searched(sampler="tpe", round=2, trials=4)
    scores = [[0.5, 0.7], [0.6, 0.8]]
    further = with_next_round(spec, [*scores])
    recorded = Recorded(further)
    for of_cell, first in zip(further.setting_trials([0]), scores, strict=True):
        for (trial,), score in zip(of_cell, [*first, 0.65, 0.9], strict=True):
            recorded.add(trial, [score])
    results = recorded.results()
    best = results.search_best()
    assert best["expected_best"].tolist() == pytest.approx([0.5, 0.7, 0.7, 0.9, 0.6, 0.8, 0.8, 0.9])
    assert best["ci_low"].isna().all()
    gap = results.dependency_gap(tuned=True)
    assert gap["tuned_gap_pp"].tolist() == pytest.approx([10, 10, 10, 0])
    assert gap["tuned_ci_low_pp"].isna().all()
    basin = results.basin(10.0)
    assert basin["n_settings"].tolist() == [2, 2]
    assert basin["basin"].tolist() == [0.0, 0.5]
    assert basin["basin_low"].tolist()[0] == 0.0
    assert basin["best"].tolist() == [0.9, 0.9]


def test_the_basin_of_a_widened_range_is_of_a_sample_of_the_wider_one() -> None:
    narrow = searched(trials=8, space={"learning_rate": {"log": [1e-2, 1e-1]}})
    trained = [trial.key for of_cell in narrow.setting_trials([0]) for (trial,) in of_cell]
    wider = {"learning_rate": {"log": [1e-3, 1e-1]}}
    for trials, sampled in ((8, 0), (10, 4), (16, 16)):
        spec = continued(searched(trials=trials, space=wider), narrow, trained)
        recorded = Recorded(spec)
        for of_cell, settings in zip(spec.setting_trials([0]), spec.settings(), strict=True):
            for (trial,), setting in zip(of_cell, settings, strict=True):
                recorded.add(trial, [0.9 if setting.values["learning_rate"] > 1e-2 else 0.1])
        results = recorded.results()
        assert results.searched()["n_settings"].tolist() == [trials] * 2
        basin = results.basin()
        assert basin["n_settings"].between(sampled - 1, sampled + 1).all()
        if sampled:  # half of the wider range is as good as the best, if more were tried in it
            assert basin["basin"].between(0.4, 0.6).all()


def test_the_key_that_decides_is_important_and_a_cell_where_another_does_differs() -> None:
    space = {"learning_rate": {"log": [1e-4, 1e-1]}, "init": ["default", "kaiming"]}
    spec = searched(trials=32, space=space)
    recorded = Recorded(spec)
    of_both = zip(spec.setting_trials([0]), spec.settings(), strict=True)
    for cell, (trials, settings) in enumerate(of_both):
        for (trial,), setting in zip(trials, settings, strict=True):
            rate = math.log10(setting.values["learning_rate"]) / 10
            start = 0.2 * (setting.values["init"] == "kaiming")
            recorded.add(trial, [0.5 + rate if cell == 0 else 0.5 + start])
    table = recorded.results().search_importance().set_index(["norm", "key"])
    assert table.loc[("none", "learning_rate"), "importance"] > 0.9
    assert table.loc[("none", "init"), "importance"] < 0.05
    assert table.loc[("batchnorm", "init"), "importance"] > 0.9
    assert table.loc[("batchnorm", "init"), "diff_low"] > 0.8
    assert table.loc[("batchnorm", "learning_rate"), "diff_high"] < -0.8
    assert table.loc["none", "difference"].isna().all()
    assert (table["ci_low"] <= table["ci_high"]).all()
    assert table["n_settings"].unique().tolist() == [32]


def test_few_settings_and_equal_scores_have_no_importance() -> None:
    few, equal = searched(trials=7), searched(trials=8)
    recorded = {spec.search.trials: Recorded(spec) for spec in (few, equal) if spec.search}
    for spec, records in zip((few, equal), recorded.values(), strict=True):
        for of_cell in spec.setting_trials([0]):
            for (trial,) in of_cell:
                records.add(trial, [0.5])
    assert recorded[7].results().search_importance().empty
    assert recorded[8].results().search_importance()["importance"].tolist() == [0.0, 0.0]
