"""What the evidence page says is held against the records, and how its own numbers are computed."""

from __future__ import annotations

import itertools
import math
import re

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from benchmarks.evidence.__main__ import FOLDER
from benchmarks.evidence.claims import claim
from benchmarks.evidence.mechanism import mistakes, rows_of
from benchmarks.evidence.norm_effects import norm_effects, ratio_of_gaps
from benchmarks.evidence.page import render
from benchmarks.evidence.selection import tuned_gaps
from benchmarks.evidence.starts import AXES, RECORDED, passed, start
from orchestration.errors import InputError
from orchestration.results.results import Results
from orchestration.tables.report_data import ReportData, read_report_data

COMPARING = (
    "every seed", "no seed", "never", "larger than", "smaller than", "more than", "less than",
    "fewer", "better", "worse", "come first", "comes first", "fall behind", "falls behind", "twice",
)  # fmt: skip


def data_of(sweep: str) -> ReportData:
    return read_report_data(Results(str(FOLDER / f"{sweep}.jsonl.gz")))


def test_a_claim_that_holds_is_its_words() -> None:
    by_seed = pd.Series([3.0, 2.0], index=[7, 8])
    assert (
        claim("It is first.", by_seed, ">", pd.Series([1.0, 2.5], index=[8, 7])) == "It is first."
    )
    assert claim("All.", pd.DataFrame({"a": [1], "b": [1]}), "==", 1) == "All."
    assert claim("Words.", ["collapsed", "collapsed"], "==", "collapsed") == "Words."
    assert claim("One.", 2, "<=", [2, 3]) == "One."


@pytest.mark.parametrize(
    ("left", "relation", "right", "message"),
    [
        (pd.Series([3.0, 2.0], index=[7, 8]), ">", pd.Series([1.0, 2.5], index=[7, 8]),
         "the records contradict 'It is first.'; this does not hold: 8: 2 > 2.5$"),
        (0.5, ">", math.nan, "nan"),
        (["collapsed", "completed"], "==", "collapsed", "1: 'completed' == 'collapsed'"),
        ([], "==", 0, "compares nothing"),
        (pd.Series([1.0, 2.0], index=[1, 2]), ">", pd.Series([0.0, 0.0], index=[3, 4]), "nothing"),
        (1, "=>", 0, "relation of a claim must be one of <, <=, ==, !=, >=, >, got '=>'"),
    ],
)  # fmt: skip
def test_a_claim_that_does_not_hold_stops(
    left: object, relation: str, right: object, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        claim("It is\nfirst." if "first" in message else "It is first.", left, relation, right)


def test_a_false_claim_stops_the_making_with_its_words_and_the_figures() -> None:
    archive = FOLDER / "norms-fashion.jsonl.gz"
    template = """{% set of = accuracies("norms-fashion", architecture="snn") %}
{{ "BNTT is FIRST in every seed" | claim(of.bntt, "SIGN", of.drop(columns="bntt").max(axis=1)) }}"""
    false = template.replace("FIRST", "first").replace("SIGN", ">")
    with pytest.raises(InputError, match=r"'BNTT is first in every seed'.* 1: 82\.52 > 84\.95"):
        render(false, [archive])
    true = template.replace("FIRST", "behind").replace("SIGN", "<")
    assert "BNTT is behind in every seed" in render(true, [archive]).text


@pytest.mark.parametrize("template", ["page.md.jinja", "norms.md.jinja", "readme.md.jinja"])
def test_no_sentence_that_compares_is_outside_a_claim(template: str) -> None:
    text = (FOLDER / template).read_text(encoding="utf-8")
    plain = " ".join(re.sub(r"\{\{.*?\}\}|\{%.*?%\}", " ", text, flags=re.DOTALL).split())
    assert not [words for words in COMPARING if words in plain.lower()]


def test_a_sweeps_norms_are_tested_against_the_standard_one_as_a_family() -> None:
    data = data_of("norms-fashion")
    found = norm_effects(data).set_index(["architecture", "norm"])
    assert found["p_holm"].notna().groupby("architecture").sum().to_dict() == {"ann": 4, "snn": 11}
    trials = data.trials[data.trials["architecture"] == "snn"]
    by_seed = 100 * trials.pivot(index="seed", columns="norm", values="best_test_accuracy")
    tested = [norm for norm in by_seed if norm not in ("none", "bntt")]
    p = {norm: stats.ttest_rel(by_seed[norm], by_seed["bntt"]).pvalue for norm in tested}
    smallest = min(p, key=p.__getitem__)
    assert found.loc[("snn", smallest), "p_holm"] == pytest.approx(11 * p[smallest])
    row = found.loc[("snn", "tab")]
    gap = by_seed.mean()["tab"] - by_seed.mean()["none"]
    assert row["mean_gap_pp"] == pytest.approx(gap)
    assert row["best_gap_pp"] == pytest.approx(by_seed.max()["tab"] - by_seed.max()["none"])


def test_what_is_detectable_is_found_in_four_sweeps_of_five() -> None:
    """By simulation: pairs as widely spread as those on record, shifted by that difference."""
    data = data_of("norms-fashion")
    by_cell = data.trials.pivot(index="seed", columns="cell", values="best_test_accuracy") * 100
    effects = norm_effects(data)
    tab = effects.index[(effects["architecture"] == "snn") & (effects["norm"] == "tab")][0]
    bntt = effects.index[(effects["architecture"] == "snn") & (effects["norm"] == "bntt")][0]
    spread = float((by_cell[tab] - by_cell[bntt]).std(ddof=1))
    shift = effects.loc[tab, "detectable_pp"]
    draws = np.random.default_rng(0).normal(shift, spread, (20_000, 5))
    p = stats.ttest_1samp(draws, 0, axis=1).pvalue
    assert np.mean(p <= 0.05 / 11) == pytest.approx(0.8, abs=0.1)  # Bloom's is an approximation


@pytest.mark.parametrize("sweep", ["norms-fashion", "norms-digits"])
def test_the_ratio_of_gaps_lies_between_those_that_a_test_accepts(sweep: str) -> None:
    data = data_of(sweep)
    accuracy = data.trials.pivot_table(
        index="seed", columns=["architecture", "norm"], values="best_test_accuracy"
    )
    spiking = accuracy["snn", "bntt"] - accuracy["snn", "none"]
    artificial = accuracy["ann", "batchnorm"] - accuracy["ann", "none"]
    ratio, low, high = ratio_of_gaps(data)
    assert ratio == pytest.approx(spiking.mean() / artificial.mean())
    for end in (low, high):
        assert stats.ttest_1samp(spiking - end * artificial, 0).pvalue == pytest.approx(0.05)


def test_tuned_gaps_account_for_the_choice_of_the_settings() -> None:
    """Against a recomputation that shares none of this code."""
    held = {"init": ["default", "kaiming"]}
    found = tuned_gaps(data_of("control-fashion"), ["threshold", "slope"], **held)
    rows = found.set_index(["grid", "architecture", "chosen_by"])
    numbers = rows[["gap_pp", "ci_low_pp", "ci_high_pp"]].round(2)
    of_all = numbers.loc["all settings"].loc["snn"]
    assert of_all.loc["all seeds"].tolist() == [1.40, 0.04, 2.76]
    assert of_all.loc["the other seeds"].tolist() == [1.05, -0.89, 2.99]
    assert of_all.loc["each seed alone"].tolist() == [1.03, -0.08, 2.13]
    assert found["n_settings"].tolist() == [4] * 3 + [24] * 3 + [4] * 4
    equal = found[found["grid"] != "all settings"]
    assert equal["gap_pp"].round(1).tolist() == [18.4, 4.4, -2.8, -0.1]
    at = rows.loc[("all settings", "snn", "all seeds"), "at_edge"]
    assert at == (
        "none: learning_rate 0.003, threshold 0.3, slope 5; "
        "bntt: learning_rate 0.003, threshold 1, slope 5"
    )


def test_the_rules_mistakes_are_counted_at_its_threshold() -> None:
    rows = {"control": rows_of(Results(str(FOLDER / "control-fashion.jsonl.gz")))}
    found = mistakes(rows).loc["control"]
    assert found.to_dict() == {"learned": 217, "false_warnings": 19, "collapsed": 23, "missed": 0}
    swapped = [
        {**row, "outcome": {"collapsed": "completed", "completed": "collapsed"}[row["outcome"]]}
        for row in itertools.chain(*rows.values())
    ]
    assert mistakes({"swapped": swapped}).loc["swapped"].to_dict() == {
        "learned": 23, "false_warnings": 23, "collapsed": 217, "missed": 217 - 19,
    }  # fmt: skip


def test_a_grid_shows_means_and_what_collapsed_or_is_missing() -> None:
    page = render(
        '{{ grid("depth-fashion", ["depth", "shortcut"], ["architecture", "norm"]) }}\n'
        '{{ grid("norms-cifar", ["norm"], ["architecture"], norm=["none", "tab"]) }}',
        [FOLDER / "depth-fashion.jsonl.gz", FOLDER / "norms-cifar.jsonl.gz"],
    )
    assert "| 8 | none | collapsed | 56.3 | 62.4 | 76.9 |" in page.text
    assert "| tab | – | 50.4 (3 of 5 seeds) |" in page.text


def test_what_is_left_of_a_gradient_is_measured_again() -> None:
    recorded = pd.read_csv(RECORDED, keep_default_na=False)
    assert len(recorded) == math.prod(map(len, AXES.values()))
    row = recorded[recorded["depth"] == 8].iloc[-1]
    keys = {**row[list(AXES)].to_dict(), "depth": int(row["depth"]), "seed": int(row["seed"])}
    found = start(keys)
    assert float(str(found["passed"])) == pytest.approx(row["passed"], rel=0.02)
    assert float(str(found["gain"])) == pytest.approx(row["gain"], rel=0.01)


def test_a_gain_is_the_root_of_what_is_left() -> None:
    left, gain = passed(pd.Series([0.001, 0.01, math.nan, 0.1, 1.0]))
    assert left == pytest.approx(0.001)
    assert gain == pytest.approx(0.1)
