"""Mean ranks, Friedman's test and the groups, against scipy and by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from orchestration.results.effects.norm_effects import norm_differences
from orchestration.results.effects.ranks import friedman, groups_of, mean_ranks

AXES = ["architecture", "norm"]


def seeds_of(accuracies: dict[str, list[float]], architecture: str = "snn") -> pd.DataFrame:
    rows = [
        {"architecture": architecture, "norm": norm, "seed": seed, "best_test_accuracy": value,
         "selected_on": "the test set"}
        for norm, values in accuracies.items()
        for seed, value in enumerate(values)
    ]  # fmt: skip
    return pd.DataFrame(rows)


def ranked(seeds: pd.DataFrame) -> pd.DataFrame:
    return mean_ranks(seeds, norm_differences(seeds, AXES, "best_test_accuracy"), AXES)


@pytest.mark.parametrize("ties", [False, True])
def test_friedman_is_scipys(ties: bool) -> None:
    values = np.random.default_rng(1).normal(size=(7, 5)) + np.arange(5) / 4
    values = values.round(0 if ties else 9)
    ranks = stats.rankdata(-values, axis=1)
    assert friedman(ranks) == pytest.approx(stats.friedmanchisquare(*values.T).pvalue)


def test_friedman_without_a_spread_or_a_second_seed_is_missing() -> None:
    assert math.isnan(friedman(np.array([[1.0, 2.0, 3.0, 4.0]])))
    assert math.isnan(friedman(np.full((3, 4), 2.5)))


def test_groups_are_the_longest_runs_without_a_difference() -> None:
    differing = {frozenset("ad"), frozenset("bd"), frozenset("ae")}
    found = groups_of("abcde", lambda a, b: frozenset((a, b)) in differing)
    assert found == [["a", "b", "c"], ["c", "d", "e"]]
    assert groups_of("ab", lambda a, b: True) == [["a"], ["b"]]  # noqa: ARG005
    assert groups_of("ab", lambda a, b: False) == [["a", "b"]]  # noqa: ARG005


def test_norms_are_ranked_and_joined() -> None:
    noise = [0.0, 0.001, -0.001, 0.002, 0.0]
    table = ranked(
        seeds_of(
            {
                "none": [0.1 + one / 2 for one in noise],
                "bntt": [0.9 + one for one in reversed(noise)],
                "tdbn": [0.9 + one for one in noise],
                "homeostatic": [0.95 + 2 * one for one in noise],
            }
        )
    )
    assert table["norm"].tolist() == ["homeostatic", "bntt", "tdbn", "none"]
    assert table["mean_rank"].tolist() == [1.0, 2.5, 2.5, 4.0]
    assert table["groups"].tolist() == ["a", "b", "b", "c"]
    assert set(table["n_seeds"]) == {5}
    assert table["friedman_p"].iloc[0] < 0.01


def test_what_cannot_be_ranked() -> None:
    three = {norm: [0.1, 0.2] for norm in ("none", "bntt", "tdbn")}
    assert ranked(seeds_of(three)).empty
    one_seed = seeds_of({**{norm: [0.5] for norm in three}, "tab": [math.nan]})
    table = ranked(one_seed)
    assert table["norm"].tolist() == ["none", "bntt", "tdbn", "tab"]  # diverged: the last
    assert table["groups"].tolist() == ["a"] * 4
    assert table["friedman_p"].isna().all()
    apart = pd.concat([seeds_of(three), seeds_of({"tab": [0.1]}).assign(seed=7)])
    assert ranked(apart).empty
