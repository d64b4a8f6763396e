"""A sweep's answers, from what MLflow holds to the frames a user gets."""

from __future__ import annotations

import math
import statistics
from typing import Any

import pandas as pd
import pytest
import scipy.stats
from six_cells import ACCURACIES, SPEC, Sweep

from orchestration.errors import InputError
from orchestration.sweep.spec import SweepSpec

NAN = float("nan")


@pytest.fixture(params=["REST on SQLite", "SQL on SQLite", "SQL on Postgres"])
def way(request: pytest.FixtureRequest) -> tuple[str, str]:
    protocol, _, database = request.param.partition(" on ")
    return request.getfixturevalue(f"{database.lower()}_database")(), protocol


class TestEveryWay:
    def test_a_whole_sweep(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.fill()
        table = sweep.results().best_of_seeds()
        assert list(table) == [
            "architecture", "norm", "best", "best_seed", "mean", "std", "ci_low", "ci_high",
            "n_seeds", "n_expected", "n_collapsed", "n_diverged", "expected_best", "n_common",
            "selected_on",
        ]  # fmt: skip
        assert table["expected_best"].tolist() == table["best"].tolist()
        assert set(table["n_common"]) == {3}
        assert set(table["selected_on"]) == {"the test set"}
        assert list(zip(table["architecture"], table["norm"], strict=True)) == list(ACCURACIES)
        for row, values in zip(table.itertuples(), ACCURACIES.values(), strict=True):
            assert row.best == max(values)
            assert row.mean == pytest.approx(statistics.mean(values), rel=1e-14)
            assert row.std == pytest.approx(statistics.stdev(values), rel=1e-12, abs=1e-16)
            half = 4.302652729911275 * statistics.stdev(values) / math.sqrt(3)
            assert row.ci_high - row.mean == pytest.approx(half, rel=1e-9, abs=1e-15)
            assert (row.n_seeds, row.n_expected, row.n_diverged) == (3, 3, 0)
        assert table["n_collapsed"].tolist() == [0, 0, 0, 3, 0, 0]
        # Both of 42 and 123 have 0.98: the smaller seed. All of none have 0.1: 9, not "123".
        assert table["best_seed"].tolist() == [42, 42, 9, 9, 123, 42]

        gap = sweep.results().dependency_gap()
        assert gap["architecture"].tolist() == ["ann", "snn"]
        assert gap[["none", "standard", "homeostatic"]].to_numpy().tolist() == [
            [0.9, 0.98, 0.985],
            [0.1, 0.96, 0.955],
        ]
        assert gap["gap_pp"].tolist() == pytest.approx([8.0, 86.0])
        assert gap["ratio"].tolist() == pytest.approx([1.0, 86 / 8])
        assert gap["note"].tolist() == ["", "none: collapsed 3/3"]

    def test_trials_and_curves(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        first = sweep.add(
            sweep.config("snn", "bntt", 42), 0.5, 0.25, metrics={"spike_rate.lif1": [0.1, 0.2]}
        )
        second = sweep.add(sweep.config("ann", "none", 42, epochs=3), 0.3, metrics={"x": [1.0]})
        trials = sweep.results().trials()
        assert trials["run_id"].tolist() == [second, first]
        assert trials["in_spec"].tolist() == [False, True]
        assert trials["num_steps"].tolist() == [pd.NA, 10]
        assert trials["augment"].tolist() == [False, False]
        assert trials["learning_rate"].tolist() == [0.001, 0.001]
        assert trials["best_test_accuracy"].tolist() == [0.3, 0.5]
        assert trials["best_epoch"].tolist() == [1, 1]
        assert trials["last_test_accuracy"].tolist() == [0.3, 0.25]
        assert trials["last_spike_rate.lif1"].tolist()[1] == 0.2
        curves = sweep.results().curves()
        assert curves[["run_id", "epoch", "test_accuracy"]].to_numpy().tolist() == [
            [second, 1, 0.3],
            [first, 1, 0.5],
            [first, 2, 0.25],
        ]
        assert curves["norm"].tolist() == ["none", "bntt", "bntt"]
        assert curves["spike_rate.lif1"].tolist()[1:] == [0.1, 0.2]

    def test_each_seeds_value_and_the_last_epoch(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        first = sweep.add(sweep.config("snn", "bntt", 123), 0.75, 0.5)
        second = sweep.add(sweep.config("snn", "bntt", 42), 0.25, 0.25, outcome="collapsed")
        third = sweep.add(sweep.config("ann", "none", 9), NAN, outcome="diverged")
        sweep.add(sweep.config("ann", "none", 7), 0.9)  # a seed that the spec lacks
        seeds = sweep.results().by_seed()
        assert list(seeds) == [
            "architecture",
            "norm",
            "seed",
            "best_test_accuracy",
            "best_epoch",
            "last_test_accuracy",
            "outcome",
            "run_id",
            "selected_on",
        ]
        assert seeds["run_id"].tolist() == [third, second, first]
        assert seeds["seed"].tolist() == [9, 42, 123]
        assert seeds["best_test_accuracy"].tolist()[1:] == [0.25, 0.75]
        assert seeds["best_epoch"].tolist() == [pd.NA, 1, 1]
        assert seeds["last_test_accuracy"].tolist()[1:] == [0.25, 0.5]
        assert seeds["outcome"].tolist() == ["diverged", "collapsed", "completed"]
        last = sweep.results().last_epoch()
        assert list(last) == list(sweep.results().best_of_seeds())
        assert last["selected_on"].isna().all()
        cell = last.iloc[4]
        assert cell[["norm", "best", "best_seed", "mean", "n_seeds"]].tolist() == [
            "bntt", 0.5, 123, 0.375, 2
        ]  # fmt: skip
        expected = sweep.results().expected_best()
        on = "the test set"
        assert expected.to_numpy().tolist() == [
            ["snn", "bntt", 1, 0.5, on], ["snn", "bntt", 2, 0.75, on]
        ]  # fmt: skip

    def test_differences_between_norms_are_paired_by_seed(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.fill()
        table = sweep.results().norm_differences()
        assert list(table) == [
            "architecture", "norm", "against", "difference_pp", "ci_low_pp", "ci_high_pp",
            "n_pairs", "t", "p", "p_holm", "selected_on",
        ]  # fmt: skip
        pairs = [("batchnorm", "none"), ("homeostatic", "none"), ("homeostatic", "batchnorm")]
        assert list(zip(table["norm"], table["against"], strict=True))[:3] == pairs
        assert table["architecture"].tolist() == ["ann"] * 3 + ["snn"] * 3
        for row in table.itertuples():
            first = ACCURACIES[row.architecture, row.norm]
            second = ACCURACIES[row.architecture, row.against]
            theirs = scipy.stats.ttest_rel(first, second)
            assert row.n_pairs == 3
            assert row.difference_pp == pytest.approx(
                100 * (statistics.mean(first) - statistics.mean(second))
            )
            assert (row.t, row.p) == pytest.approx((theirs.statistic, theirs.pvalue))
            low, high = theirs.confidence_interval()
            assert (row.ci_low_pp, row.ci_high_pp) == pytest.approx((100 * low, 100 * high))
        by_p = table.sort_values("p")
        steps = [(6 - i) * p for i, p in enumerate(by_p["p"])]
        stepped = [min(max(steps[: i + 1]), 1) for i in range(6)]
        assert by_p["p_holm"].tolist() == pytest.approx(stepped)

    def test_a_seed_that_one_norm_lacks_makes_no_pair(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.add(sweep.config("ann", "none", 9), 0.5, 0.1)
        sweep.add(sweep.config("ann", "none", 42), 0.5)
        sweep.add(sweep.config("ann", "batchnorm", 9), 0.75, 0.6)
        sweep.add(sweep.config("ann", "batchnorm", 123), 1.0)
        sweep.add(sweep.config("ann", "batchnorm", 42), NAN, outcome="diverged")
        (row,) = sweep.results().norm_differences().to_dict("records")
        assert (row["difference_pp"], row["n_pairs"]) == (25.0, 1)
        assert math.isnan(row["p_holm"])
        (row,) = sweep.results().norm_differences("last_test_accuracy").to_dict("records")
        assert row["difference_pp"] == pytest.approx(50)
        assert row["selected_on"] is None
        with pytest.raises(InputError, match="best_test_accuracy or last_test_accuracy"):
            sweep.results().norm_differences("train_accuracy")

    def test_cells_without_a_finished_run_are_shown(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.add(sweep.config("ann", "none", 42), 0.9, status="FAILED")
        sweep.add(sweep.config("ann", "batchnorm", 42), 0.8)
        table = sweep.results().best_of_seeds()
        assert len(table) == 6
        assert table["n_seeds"].tolist() == [0, 1, 0, 0, 0, 0]
        assert set(table["n_expected"]) == {3}
        assert table["best"].isna().tolist() == [True, False, True, True, True, True]
        gap = sweep.results().dependency_gap()
        assert gap[["gap_pp", "ratio"]].isna().all(axis=None)
        assert gap["note"].tolist()[0] == (
            "none: no results; batchnorm: incomplete 1/3; homeostatic: no results"
        )
        assert sweep.results().curves()["epoch"].tolist() == [1]

    def test_only_the_present_spec_counts(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.add(sweep.config("ann", "none", 42), 0.8)
        sweep.add(sweep.config("ann", "none", 7), 0.9)
        sweep.add(sweep.config("ann", "none", 9, epochs=5), 0.9)
        sweep.add(sweep.config("ann", "none", 9, width=8), 0.9)
        sweep.add(sweep.config("ann", "none", 9, optimizer="sgd", momentum=0.9), 0.9)
        assert sweep.cell("ann", "none")[["best", "n_seeds"]].tolist() == [0.8, 1]
        trials = sweep.results().trials()
        assert trials["in_spec"].tolist().count(True) == 1
        assert len(trials) == 5

    def test_a_trial_run_twice_counts_once_as_it_finished_first(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        config = sweep.config("ann", "none", 42)
        sweep.add(config, 0.9, finished=2_000_000)
        first = sweep.add(config, 0.7, finished=1_000_000)
        sweep.add(config, 0.8, finished=3_000_000, key=None)
        assert sweep.cell("ann", "none")[["best", "n_seeds", "n_expected"]].tolist() == [0.7, 1, 3]
        assert sweep.results().trials()["run_id"].tolist() == [first]

    def test_of_a_users_changed_module_the_newest_counts(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way, spec=None)
        text = SweepSpec.from_dict(SPEC).to_json().replace('"batchnorm"', '"not_here:Norm"')
        sweep.recorder.parent(sweep.experiment, "sweep", text)
        config = sweep.config("ann", "none", 42) | {"norm": "not_here:Norm"}
        sweep.add(config, 0.9, key="a" * 16)
        sweep.add(config, 0.7, key="b" * 16)
        cell = sweep.cell("ann", "not_here:Norm")
        assert cell[["best", "best_seed", "n_seeds"]].tolist() == [0.7, 42, 1]
        trials = sweep.results().trials()
        assert trials.set_index("trial_key")["in_spec"].to_dict() == {
            "a" * 16: False,
            "b" * 16: True,
        }

    def test_the_key_decides_and_else_the_configuration(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        config = sweep.config("ann", "none", 42)
        # Another program's run of it, and a key of ours that the spec, and so the plan, lacks.
        sweep.add(config, 0.6, key="an odd key")
        sweep.add(config, 0.9, key="a" * 16)
        assert sweep.cell("ann", "none")[["best", "n_seeds"]].tolist() == [0.6, 1]
        sweep.add(config, 0.5)
        assert sweep.cell("ann", "none")[["best", "n_seeds"]].tolist() == [0.5, 1]
        assert sweep.results().trials()["in_spec"].tolist().count(True) == 1

    @pytest.mark.parametrize("spec", [SPEC, None])
    @pytest.mark.parametrize("key", ["by configuration", None])
    def test_a_record_older_than_a_key_is_in_the_cell_of_its_default(
        self, way: tuple[str, str], spec: dict[str, Any] | None, key: str | None
    ) -> None:
        sweep = Sweep(*way, spec)
        old = sweep.config("snn", "bntt", 42)
        assert old.pop("precision") == "float32"
        sweep.add(old, 0.9, key=key)
        sweep.add(sweep.config("snn", "bntt", 123), 0.8)
        other = sweep.config("snn", "bntt", 9, precision="bf16")
        sweep.add(other, 0.7)
        table = sweep.results().best_of_seeds()
        assert ("precision" in table) == (spec is None)
        cell = table[table["norm"] == "bntt"].sort_values("best").iloc[-1]
        assert cell[["best", "best_seed", "n_seeds"]].tolist() == [0.9, 42, 2]
        trials = sweep.results().trials().set_index("seed")
        assert trials["precision"].to_dict() == {42: "float32", 123: "float32", 9: "bf16"}
        assert trials["in_spec"].to_dict() == {42: True, 123: True, 9: spec is None}

    def test_a_diverged_trial_is_counted(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way)
        sweep.add(sweep.config("ann", "none", 9), NAN, outcome="diverged")
        sweep.add(sweep.config("ann", "none", 42), 0.4, NAN, outcome="diverged")
        sweep.add(sweep.config("ann", "none", 123), 0.8, 0.6)
        cell = sweep.cell("ann", "none")
        assert cell[["best", "best_seed", "n_seeds", "n_diverged"]].tolist() == [0.8, 123, 3, 2]
        assert cell["mean"] == pytest.approx(0.6, abs=1e-15)

    def test_without_a_spec_the_trials_make_the_cells(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way, spec=None)
        for norm, width, seed, value in (
            ("none", 8, 1, 0.5),
            ("none", 8, 2, 0.6),
            ("none", 16, 1, 0.7),
            ("batchnorm", 8, 1, 0.8),
        ):
            sweep.add(
                {"architecture": "ann", "norm": norm, "width": width, "seed": seed, "epochs": 2},
                value,
                key=f"{norm}{width}{seed}",
            )
        table = sweep.results().best_of_seeds()
        assert table[["norm", "width", "best", "n_seeds", "n_expected"]].to_numpy().tolist() == [
            ["batchnorm", 8, 0.8, 1, 2],
            ["none", 8, 0.6, 2, 2],
            ["none", 16, 0.7, 1, 2],
        ]
        assert sweep.results().trials()["in_spec"].all()

    def test_without_a_spec_a_key_of_one_network_alone_is_no_axis(
        self, way: tuple[str, str]
    ) -> None:
        sweep = Sweep(*way, spec=None)
        for number, more in enumerate(
            ({"architecture": "ann"}, {"architecture": "snn", "beta": 0.9})
        ):
            sweep.add({**more, "norm": "none", "seed": 1, "epochs": 2}, 0.5, key=f"key{number}")
        assert list(sweep.results().best_of_seeds())[:3] == ["architecture", "norm", "best"]
        sweep.add({**more, "beta": 0.5, "norm": "none", "seed": 1, "epochs": 2}, 0.5, key="key2")
        assert list(sweep.results().best_of_seeds())[:3] == ["architecture", "norm", "beta"]

    def test_trials_that_say_next_to_nothing(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way, spec=None)
        sweep.add({"seed": 1}, 0.5, key="a")
        sweep.add({"seed": 2}, 0.75, key="b")
        results = sweep.results()
        assert results.best_of_seeds()[["best", "best_seed", "n_seeds"]].to_numpy().tolist() == [
            [0.75, 2, 2]
        ]
        assert results.by_seed()["seed"].tolist() == [1, 2]
        expected = results.expected_best()[["n", "expected_best"]]
        assert expected.to_numpy().tolist() == [[1, 0.625], [2, 0.75]]
        assert results.norm_differences().empty
        sweep.add({"seed": 2, "norm": "none"}, 1.0, key="c")
        assert sweep.results().norm_differences().empty

    def test_held_out_images_selected_the_epoch(self, way: tuple[str, str]) -> None:
        spec = {**SPEC, "training": {"validation_fraction": 0.125}}
        sweep = Sweep(*way, spec=spec)
        config = SweepSpec.from_dict(spec).trials()[0].config.given()
        held_out = {"validation_accuracy": [0.5, 0.75]}
        sweep.add(config, 0.9, 0.8, metrics=held_out)
        # The same in all but that the test set selected: another trial.
        sweep.add({**config, "validation_fraction": 0.0}, 1.0, 0.8)
        results, told = sweep.results(), "12.5 % held-out training images"
        best = results.best_of_seeds()
        assert best.loc[0, ["best", "n_seeds"]].tolist() == [0.8, 1]
        assert set(best["selected_on"]) == {told}
        assert set(results.dependency_gap()["selected_on"]) == {told}
        assert results.by_seed()[["best_epoch", "selected_on"]].to_numpy().tolist() == [[2, told]]
        assert results.curves()["validation_accuracy"].dropna().tolist() == [0.5, 0.75]
        assert set(results.trials()["last_validation_accuracy"].dropna()) == {0.75}

    def test_a_trial_from_before_the_key_held_nothing_out(self, way: tuple[str, str]) -> None:
        spec = {**SPEC, "grid": [{**SPEC["grid"][0], "validation_fraction": [0, 0.1]}]}
        for text in (spec, None):
            sweep = Sweep(*way, spec=text, name=f"sweep {text is None}")
            config = sweep.config("ann", "none", 42)
            newer = {**config, "validation_fraction": 0.1}
            sweep.add({**config, "seed": 9}, 0.75)
            del config["validation_fraction"]
            sweep.add(config, 0.5)
            # Without a key of ours the params alone tell.
            sweep.add({**config, "seed": 123}, 0.25, key=None)
            sweep.add(newer, 0.625)
            best = sweep.results().best_of_seeds()
            best = best[best["n_seeds"] > 0].set_index("validation_fraction")
            assert best["n_seeds"].to_dict() == {0.0: 3, 0.1: 1}
            assert best["best"].to_dict() == {0.0: 0.75, 0.1: 0.625}
            assert best["selected_on"].to_dict() == {
                0.0: "the test set", 0.1: "10 % held-out training images"
            }  # fmt: skip
            assert sorted(sweep.results().trials()["validation_fraction"]) == [0, 0, 0, 0.1]

    def test_a_spec_of_modules_that_are_not_here(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way, spec=None)
        text = SweepSpec.from_dict(SPEC).to_json().replace('"batchnorm"', '"not_here:Norm"')
        sweep.recorder.parent(sweep.experiment, "sweep", text)
        sweep.add(sweep.config("ann", "none", 42) | {"norm": "not_here:Norm"}, 0.9)
        assert sweep.cell("ann", "not_here:Norm")["best"] == 0.9

    def test_a_spec_that_cannot_be_read_is_done_without(self, way: tuple[str, str]) -> None:
        sweep = Sweep(*way, spec=None)
        sweep.recorder.parent(sweep.experiment, "sweep", '{"name": "sweep"}')
        sweep.add({"architecture": "ann", "norm": "none", "seed": 1}, 0.9, key="k")
        results = sweep.results()
        with pytest.warns(UserWarning, match="cells are taken from its trials"):
            assert results.best_of_seeds()["best"].tolist() == [0.9]
