"""What a cell's seeds say together, against numbers worked out by hand."""

from __future__ import annotations

import itertools
import math
import random
import statistics

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from orchestration.results.columns import COUNTS, shortfall
from orchestration.results.statistics import (
    cell_statistics,
    expected_best,
    holm,
    paired_differences,
    t_interval,
)

NAN = float("nan")


def trials(*rows: tuple[int, int, float, str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=["cell", "seed", "accuracy", "outcome"])


def test_a_cell_by_hand() -> None:
    table = cell_statistics(
        trials((0, 42, 0.90, "completed"), (0, 123, 0.94, "completed"), (0, 456, 0.92, "completed"))
    )
    cell = table.loc[0]
    assert (cell["best"], cell["best_seed"], cell["n_seeds"]) == (0.94, 123, 3)
    assert cell["mean"] == pytest.approx(0.92, abs=1e-15)
    # Squared deviations 4e-4, 4e-4, 0 over n - 1 = 2 give 4e-4.
    assert cell["std"] == pytest.approx(0.02, abs=1e-15)
    # t(2, 0.975) = 4.302652729911275 from a printed table, times 0.02 / √3.
    assert cell["ci_low"] == pytest.approx(0.92 - 4.302652729911275 * 0.02 / math.sqrt(3))
    assert cell["ci_high"] == pytest.approx(0.92 + 4.302652729911275 * 0.02 / math.sqrt(3))


def test_the_smallest_seed_wins_a_tie() -> None:
    table = cell_statistics(trials((0, 9, 0.5, "completed"), (0, 10, 0.5, "completed")))
    assert table.loc[0, "best_seed"] == 9


def test_one_seed_has_no_spread() -> None:
    cell = cell_statistics(trials((3, 1, 0.5, "completed"))).loc[3]
    assert (cell["best"], cell["mean"]) == (0.5, 0.5)
    assert cell[["std", "ci_low", "ci_high"]].isna().all()


def test_collapsed_seeds_are_results_and_counted() -> None:
    cell = cell_statistics(trials((0, 1, 0.1, "collapsed"), (0, 2, 0.9, "completed"))).loc[0]
    assert (cell["best"], cell["mean"], cell["n_seeds"], cell["n_collapsed"]) == (0.9, 0.5, 2, 1)


def test_a_seed_without_an_accuracy_is_counted_and_enters_no_mean() -> None:
    table = cell_statistics(
        trials((0, 1, 0.5, "completed"), (0, 2, NAN, "diverged"), (1, 1, NAN, "diverged"))
    )
    assert table.loc[0, ["best", "mean", "n_seeds", "n_diverged"]].tolist() == [0.5, 0.5, 2, 1]
    assert math.isnan(table.loc[0, "std"])
    assert table.loc[1, ["best", "best_seed", "mean"]].isna().all()
    assert table.loc[1, ["n_seeds", "n_collapsed", "n_diverged"]].tolist() == [1, 0, 1]


def test_no_trials_no_cells() -> None:
    assert cell_statistics(trials()).empty


def test_the_order_of_trials_does_not_show() -> None:
    generator = random.Random(0)
    rows = [(cell, seed, generator.random(), "completed") for cell in range(5) for seed in range(9)]
    first = cell_statistics(trials(*rows))
    for _ in range(5):
        generator.shuffle(rows)
        pd.testing.assert_frame_equal(cell_statistics(trials(*rows)), first, check_exact=True)


def test_a_t_interval_holds_the_mean_as_often_as_it_says() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.1, size=(20_000, 3))
    low, high = t_interval(values.mean(1), values.std(1, ddof=1), np.full(20_000, 3))
    # The standard error of the coverage is 0.0015.
    assert np.mean((low <= 0.5) & (high >= 0.5)) == pytest.approx(0.95, abs=0.005)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((3, 3, 0, 0), ""),
        ((2, 3, 0, 0), "incomplete 2/3"),
        ((0, 3, 0, 0), "no results"),
        ((3, 3, 3, 0), "collapsed 3/3"),
        ((2, 3, 1, 1), "incomplete 2/3, collapsed 1/2, diverged 1/2"),
    ],
)
def test_what_a_cell_lacks_in_words(counts: tuple[int, int, int, int], words: str) -> None:
    assert shortfall(dict(zip(COUNTS, counts, strict=True))) == words


class TestExpectedBest:
    def test_by_hand(self) -> None:
        # Of {1, 2, 4}: pairs have the largest 2, 4, 4.
        assert expected_best([4.0, 1.0, 2.0], 1) == pytest.approx(7 / 3)
        assert expected_best([4.0, 1.0, 2.0], 2) == pytest.approx(10 / 3)
        assert expected_best([4.0, 1.0, 2.0], 3) == 4.0

    @pytest.mark.parametrize("n", range(1, 8))
    def test_against_all_draws(self, n: int) -> None:
        values = np.random.default_rng(n).random(7).round(1).tolist()  # some are equal
        draws = [max(draw) for draw in itertools.combinations(values, n)]
        assert expected_best(values, n) == pytest.approx(statistics.mean(draws), rel=1e-14)

    def test_it_is_unbiased(self) -> None:
        generator = np.random.default_rng(0)
        found = [expected_best(generator.random(5).tolist(), 3) for _ in range(20_000)]
        # The expected largest of three uniform numbers is 3/4; the standard error is 0.0011.
        assert statistics.mean(found) == pytest.approx(3 / 4, abs=0.004)


class TestPairedDifferences:
    def test_by_hand(self) -> None:
        # Differences 0.01, 0.03, 0.02: mean 0.02, deviation 0.01, t = 0.02 / (0.01 / √3) = 2√3.
        found = paired_differences(np.array([0.91, 0.95, 0.93]), np.array([0.90, 0.92, 0.91]))
        assert found["difference"] == pytest.approx(0.02)
        assert found["t"] == pytest.approx(2 * math.sqrt(3))
        # Student's t with 2 degrees of freedom: P(|T| > t) = 1 - t / √(t² + 2).
        assert found["p"] == pytest.approx(1 - 2 * math.sqrt(3) / math.sqrt(14))
        half = 4.302652729911275 * 0.01 / math.sqrt(3)
        assert found["ci_low"] == pytest.approx(0.02 - half)
        assert found["ci_high"] == pytest.approx(0.02 + half)

    @pytest.mark.parametrize("n", [2, 3, 5, 10])
    def test_against_scipy(self, n: int) -> None:
        first, second = np.random.default_rng(n).random((2, n))
        theirs = scipy.stats.ttest_rel(first, second)
        ours = paired_differences(first, second)
        assert ours["t"] == pytest.approx(theirs.statistic, rel=1e-12)
        assert ours["p"] == pytest.approx(theirs.pvalue, rel=1e-12)
        interval = theirs.confidence_interval()
        assert (ours["ci_low"], ours["ci_high"]) == pytest.approx(tuple(interval), rel=1e-12)

    @pytest.mark.parametrize(
        ("first", "second", "known"),
        [
            ([], [], set()),
            ([0.5], [0.4], {"difference"}),
            ([0.9, 0.8], [0.8, 0.7], {"difference", "ci_low", "ci_high"}),
            ([0.5, 0.5], [0.5, 0.5], {"difference", "ci_low", "ci_high"}),
        ],
    )
    def test_what_cannot_be_had_is_missing(
        self, first: list[float], second: list[float], known: set[str]
    ) -> None:
        found = paired_differences(np.array(first, float), np.array(second, float))
        assert {name for name, value in found.items() if not math.isnan(value)} == known


class TestHolm:
    def test_by_hand(self) -> None:
        # 4 · 0.01, 3 · 0.015, 2 · 0.03, and 0.04, which may not fall below its forerunner.
        found = holm(np.array([0.03, 0.01, NAN, 0.04, 0.015]))
        assert found.tolist() == pytest.approx([0.06, 0.04, NAN, 0.06, 0.045], nan_ok=True)

    def test_at_most_one(self) -> None:
        assert holm(np.array([0.6, 0.7])).tolist() == [1.0, 1.0]
        assert holm(np.array([])).tolist() == []

    def test_it_keeps_its_promise(self) -> None:
        # Ten true hypotheses at a time: any of them is rejected in at most 5 % of the cases.
        values = np.random.default_rng(0).random((5_000, 10))
        wrong = np.mean([holm(row).min() <= 0.05 for row in values])
        assert 0.04 < wrong <= 0.055
