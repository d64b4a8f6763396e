"""From trials in any order to the declared comparisons' verdicts."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from recorded import RecordedTrial, Recorder
from specs import spec

from orchestration.cli.main import cli
from orchestration.errors import InputError
from orchestration.reading.open import open_source
from orchestration.reading.summaries import one_sweep
from orchestration.report.write import write_report
from orchestration.results.deciding.decisions import decisions, evidence_curves
from orchestration.results.deciding.sequential import shift_interval
from orchestration.results.results import Results
from orchestration.sweep.spec import SweepSpec
from orchestration.tables import decisions as decisions_table

GRID = [{"architecture": "snn", "norm": ["none", "bntt", "homeostatic"], "width": 8}]
NORMS = ["none", "bntt", "homeostatic"]


def sweep(**keys: Any) -> SweepSpec:
    seeds = {"until": "decided", "practically_equal": 0.005, **keys}
    compare = [{"norm": ["bntt", "homeostatic"]}, {"norm": ["none"], "against": "all"}]
    return SweepSpec.from_dict(spec(seeds=seeds, compare=compare, grid=GRID))


CELLS = pd.DataFrame({"architecture": "snn", "norm": NORMS, "selected_on": "the test set"})


def trials(wanted: SweepSpec, n: int, shift: float = 0.0, spread: float = 0.002) -> pd.DataFrame:
    """Without a norm nothing is learned; the two others differ by ``shift``."""
    generator = np.random.default_rng(3)
    rows = []
    for seed in wanted.seed_order()[:n]:
        bntt, homeostatic = 0.95 + spread * generator.standard_normal(2)
        rows += [(0, seed, 0.1, "collapsed"), (1, seed, bntt, "completed")]
        rows.append((2, seed, homeostatic + shift, "completed"))
    return pd.DataFrame(rows, columns=["cell", "seed", "best_test_accuracy", "outcome"])


def test_a_row_a_declared_comparison() -> None:
    wanted = sweep()
    table = decisions(CELLS, trials(wanted, 20, spread=0.001), wanted)
    assert table[["architecture", "norm", "compared", "against"]].values.tolist() == [
        ["snn", "bntt", "norm", "homeostatic"],
        ["snn", "none", "norm", "bntt"],
        ["snn", "none", "norm", "homeostatic"],
    ]
    assert table["verdict"].tolist() == ["equal", "worse", "worse"]
    assert table["method"].tolist() == ["differences", *["differences and failures"] * 2]
    assert table.loc[1:, "n_pairs"].tolist() == [5, 5]
    assert table.loc[1, "decided_at"] == wanted.seed_order()[4]
    assert table.loc[0, "decided_at"] == wanted.seed_order()[table.loc[0, "n_pairs"] - 1]
    assert -0.5 < table.loc[0, "ci_low_pp"] < table.loc[0, "difference_pp"]
    assert table.loc[0, "difference_pp"] < table.loc[0, "ci_high_pp"] < 0.5
    assert (table.loc[1:, "p_holm"] <= 0.05).all()
    assert table.loc[1, "e_value"] == pytest.approx(62.015625)
    assert table.loc[1, "p"] == pytest.approx(1 / 62.015625)
    assert table["more_seeds"].isna().all()
    assert (table["selected_on"] == "the test set").all()


def test_of_exchangeable_pairs_a_verdict_takes_seven_and_says_what_its_evidence_is() -> None:
    wanted = sweep(assume="exchangeable")
    table = decisions(CELLS, trials(wanted, 8), wanted)
    assert table["verdict"].tolist() == ["undecided", "worse", "worse"]
    assert table["n_pairs"].tolist() == [8, 7, 7]
    assert table["null_hypothesis"].tolist() == ["exchangeable"] * 3
    assert table["decided_by"].tolist()[1:] == ["failures", "failures"]
    assert table[["n_failed", "n_failed_against"]].values.tolist() == [[0, 0], [7, 0], [7, 0]]
    # All signs alike are worth at most 2 to the power of 6 in seven pairs.
    assert 60 < table.loc[1, "e_value"] < 64
    text = decisions_table.TABLE.write(table, "markdown")
    assert "worse by failures: 7 of 7 seeds failed, against 0" in text
    assert "Null hypothesis (exchangeable): the two values of a seed are exchangeable" in text


@pytest.mark.parametrize(("assume", "n"), [("exchangeable", 7), ("normal", 5)])
def test_failures_and_a_mean_that_point_apart_are_neither_better_nor_worse(
    assume: str, n: int
) -> None:
    """Without a norm nothing is learned; with one the training images are, and no other."""
    wanted = sweep(assume=assume)
    known = trials(wanted, 8)
    known.loc[known["cell"] == 1, "best_test_accuracy"] = 0.0995
    row = decisions(CELLS, known, wanted).loc[1]
    assert (row["verdict"], row["decided_by"], row["n_pairs"]) == ("different", "failures", n)
    assert row["difference_pp"] == pytest.approx(0.05)
    text = decisions_table.TABLE.write(pd.DataFrame([row]), "markdown")
    assert f"neither better nor worse: failures ({n} of {n} seeds failed, against 0) and" in text


def test_an_undecided_one_says_what_it_excludes() -> None:
    wanted = sweep(assume="exchangeable")
    table = decisions(CELLS, trials(wanted, 26), wanted)
    row = table.loc[0]
    assert row["verdict"] == "undecided"
    assert row["unseen_share"] == pytest.approx(1 - 0.05 ** (1 / 26))
    assert row["excluded_above_pp"] == max(-row["ci_low_pp"], row["ci_high_pp"])
    text = decisions_table.TABLE.write(table, "markdown")
    excluded = f"no difference above {row['excluded_above_pp']:.2f} points"
    assert f"undecided: {excluded}, unless more than 1 seed in 9 fails; " in text
    assert table.loc[1:, ["excluded_above_pp", "unseen_share"]].isna().all(axis=None)


def test_the_interval_beside_a_verdict_holds_what_its_own_rule_leaves_possible() -> None:
    ends = ["ci_low_pp", "ci_high_pp"]
    shown = {}
    for assume in ("exchangeable", "normal"):
        wanted = sweep(assume=assume)
        known = trials(wanted, 7, shift=0.001)
        shown[assume] = decisions(CELLS, known, wanted).loc[0, ends].to_numpy(float)
        last = evidence_curves(CELLS, known, wanted).loc[6, ends].to_numpy(float)
        assert last == pytest.approx(shown[assume])
    values = [known.loc[known["cell"] == cell, "best_test_accuracy"].to_numpy() for cell in (1, 2)]
    # Seven signs alone hardly reject a shift at a third of 5 %, normal differences do.
    shifts = shift_interval(100 * (values[0] - values[1]), 0.05 / 3)
    assert shown["exchangeable"] == pytest.approx(shifts)
    assert shifts[0] < shown["normal"][0] < shown["normal"][1] < shifts[1]


def test_nothing_is_equal_before_the_certain_seeds_of_all_cells_are_there() -> None:
    wanted = sweep(assume="exchangeable", at_most=200)
    known = trials(wanted, 120, spread=0.0005)
    known.loc[known["cell"] == 0, ["best_test_accuracy", "outcome"]] = [0.949, "completed"]
    assert decisions(CELLS, known, wanted).loc[0, "verdict"] == "equal"
    last_certain = (known["cell"] == 0) & (known["seed"] == wanted.seed_order()[4])
    assert decisions(CELLS, known[~last_certain], wanted).loc[0, "verdict"] == "undecided"
    # A failure of another cell shows what failing costs.
    known.loc[last_certain, ["best_test_accuracy", "outcome"]] = [0.1, "collapsed"]
    assert decisions(CELLS, known, wanted).loc[0, "verdict"] == "undecided"


def test_undecided_ones_say_about_how_many_seeds_are_missing() -> None:
    wanted = sweep(practically_equal=None)
    some = trials(wanted, 8, shift=0.0025)
    table = decisions(CELLS, some, wanted)
    assert table.loc[0, "verdict"] == "undecided"
    assert pd.isna(table.loc[0, "decided_at"])
    more = int(table.loc[0, "more_seeds"])
    # While the two others are open as well, Holm's method asks for more.
    alone = decisions(CELLS, some[some["cell"] != 0], wanted)
    assert alone.loc[0, "more_seeds"] > more
    # Had the same eight come again and again, it would have been decided there, and not before.
    order = wanted.seed_order()
    repeated = [
        row._replace(seed=order[number])
        for cell in (0, 1, 2)
        for number, row in enumerate(list(some[some["cell"] == cell].itertuples(index=False)) * 5)
        if number < 8 + more
    ]
    assert len(repeated) == 3 * (8 + more)
    later = decisions(CELLS, pd.DataFrame(repeated), wanted)
    assert later.loc[0, "verdict"] == "worse"
    assert later.loc[0, "n_pairs"] == 8 + more


def test_undecided_ones_say_the_hours_of_the_trials_that_are_missing() -> None:
    wanted = sweep(practically_equal=None)
    some = trials(wanted, 8, shift=0.0025)
    hours = [100.0, 0.5, 0.25]
    row = decisions(CELLS, some, wanted, hours).loc[0]
    assert row["more_hours"] == pytest.approx(row["more_seeds"] * 0.75)
    assert row["hours_of"] == "core"
    # Two of them, which one of both cells has, are paid for.
    last = wanted.seed_order()[6:8]
    known = some[(some["cell"] != 1) | ~some["seed"].isin(last)]
    row = decisions(CELLS, known, wanted, hours).loc[0]
    assert row["n_pairs"] == 6
    assert row["more_hours"] == pytest.approx(row["more_seeds"] * 0.75 - 2 * 0.25)
    assert decisions(CELLS, some, wanted)["more_hours"].isna().all()


def test_evidence_grows_to_what_the_decisions_say() -> None:
    wanted = sweep()
    known = trials(wanted, 20, spread=0.001)
    table, curves = decisions(CELLS, known, wanted), evidence_curves(CELLS, known, wanted)
    assert len(curves) == 3 * 20
    for number, row in enumerate(table.to_dict("records")):
        curve = curves.iloc[20 * number : 20 * (number + 1)]
        (end,) = curve[curve["verdict"].notna()].to_dict("records")
        names = ["norm", "against", "verdict", "e_value", "p", "ci_low_pp", "ci_high_pp"]
        assert [end[name] for name in names] == pytest.approx([row[name] for name in names])
        assert (end["n"], end["seed"]) == (row["n_pairs"], row["decided_at"])
        assert (1 / end["p"] >= end["bound"]) == (row["verdict"] != "equal")
        before = curve[curve["n"] < end["n"]]
        assert (1 / before["p"] < before["bound"]).all()
    assert curves["bound"].tolist() == [60.0] * 4 + [20.0] * 16 + curves["bound"].tolist()[20:]


def test_nothing_yet_and_one_side_only() -> None:
    wanted = sweep()
    for known in (trials(wanted, 0), trials(wanted, 6).query("cell == 1")):
        table = decisions(CELLS, known, wanted)
        assert table["verdict"].tolist() == ["undecided"] * 3
        assert table["n_pairs"].tolist() == [0] * 3
        assert table["p_holm"].tolist() == [1.0] * 3
        assert table["more_seeds"].isna().all()


def test_pairs_after_a_missing_seed_wait_for_it() -> None:
    wanted = sweep()
    known = trials(wanted, 9)
    late = (known["cell"] == 1) & (known["seed"] == wanted.seed_order()[2])
    table = decisions(CELLS, known[~late], wanted)
    assert table["n_pairs"].tolist() == [2, 2, 5]


def test_a_diverged_seed_without_an_accuracy_counts_as_a_failure_at_zero() -> None:
    wanted = sweep()
    known = trials(wanted, 5)
    known.loc[known["cell"] == 0, ["best_test_accuracy", "outcome"]] = [np.nan, "diverged"]
    table = decisions(CELLS, known, wanted)
    assert table.loc[1, "verdict"] == "worse"
    assert table.loc[1, "difference_pp"] == pytest.approx(-95, abs=1)


@settings(max_examples=40)
@given(
    st.randoms(use_true_random=False),
    st.sampled_from([0.0, 0.003, 0.02]),
    st.sampled_from(["exchangeable", "normal"]),
)
def test_the_order_of_completion_decides_nothing(
    order: random.Random, shift: float, assume: str
) -> None:
    wanted = sweep(at_most=14, assume=assume)
    everything = trials(wanted, 14, shift)
    whole = decisions(CELLS, everything, wanted)
    rows = list(range(len(everything)))
    order.shuffle(rows)
    pd.testing.assert_frame_equal(decisions(CELLS, everything.iloc[rows], wanted), whole)
    # Whatever has ended so far: what is decided then, is decided so in the end.
    for ended in (20, 30, 38):
        so_far = decisions(CELLS, everything.iloc[rows[:ended]], wanted)
        known = so_far["verdict"] != "undecided"
        assert (so_far["verdict"][known] == whole["verdict"][known]).all()


def test_trials_beyond_a_decision_change_nothing() -> None:
    wanted = sweep(practically_equal=None)
    few, many = (decisions(CELLS, trials(wanted, n, shift=0.02), wanted) for n in (12, 30))
    assert "undecided" not in few["verdict"].tolist()
    pd.testing.assert_frame_equal(few, many)


def test_a_list_of_seeds_declares_nothing() -> None:
    listed = SweepSpec.from_dict(spec(grid=GRID))
    with pytest.raises(InputError, match="norm_differences"):
        decisions(CELLS, trials(sweep(), 3), listed)


@pytest.fixture(scope="module")
def recorded(sqlite_database: Callable[[], str]) -> tuple[SweepSpec, str]:
    """Five seeds of each cell, in MLflow; an epoch takes an hour."""
    wanted, url = sweep(), sqlite_database()
    recorder = Recorder(url)
    experiment, parent = recorder.sweep(wanted.name, wanted.to_json())
    configs = [cell.given() for cell in wanted.cells()]
    for row in trials(wanted, 5).sample(frac=1, random_state=1).itertuples():
        config = {**configs[row.cell], "seed": row.seed}
        times = {"epoch_seconds": (3600.0,)}
        trial = RecordedTrial(config, (row.best_test_accuracy,), outcome=row.outcome, metrics=times)
        recorder.trial(experiment, parent, trial)
    return wanted, url


def test_from_recorded_runs(recorded: tuple[SweepSpec, str]) -> None:
    wanted, url = recorded
    table = Results(wanted.name, database_url=url).decisions()
    assert table["verdict"].tolist() == ["undecided", "worse", "worse"]
    assert table["norm"].tolist() == ["bntt", "none", "none"]
    expected = decisions(CELLS, trials(wanted, 5), wanted)
    names = [name for name in expected if name != "more_hours"]
    pd.testing.assert_frame_equal(table[names], expected[names], check_dtype=False)
    assert table.loc[0, "more_hours"] == table.loc[0, "more_seeds"] * 2 * 3  # epochs a trial
    evidence = Results(wanted.name, database_url=url).evidence()
    assert evidence["verdict"].dropna().tolist() == ["worse", "worse"]
    assert "cell" not in evidence


def test_evidence_of_a_sweep_that_declares_no_comparisons_is_refused_in_words() -> None:
    spec = SweepSpec.load("digits")
    with pytest.raises(InputError, match="comparisons that a spec declares: compare, with"):
        evidence_curves(CELLS, trials(spec, 3), spec)


def test_results_and_report_show_them(
    recorded: tuple[SweepSpec, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted, url = recorded
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", url)
    printed = CliRunner().invoke(cli, ["results", wanted.name]).stdout
    assert re.search("snn +none +worse b +bntt +-8[0-9.]+ .* 62 ", printed)
    assert "b worse by failures: 5 of 5 seeds failed, against 0" in printed
    assert "Null hypothesis (normal): differences are normal around 0" in printed
    assert re.search("snn +bntt +undecided a +homeostatic", printed)
    assert re.search("a undecided; about [0-9]+ more seeds, [0-9]+ core hours, would", printed)

    page = write_report(wanted.name, tmp_path, database_url=url).read_text(encoding="utf-8")
    assert '<section id="decisions"' in page
    assert '<section id="evidence"' in page
    assert "Null hypothesis (normal): differences are normal around 0" in page
    assert "are not exchangeable, and may be told apart" in " ".join(page.split())
    assert {path.name for path in (tmp_path / "figures").glob("evidence.*")} == {
        "evidence.pdf",
        "evidence.png",
        "evidence.svg",
    }
    assert len(pd.read_csv(tmp_path / "evidence.csv")) == 15
    assert "undecided" in (tmp_path / "decisions.tex").read_text(encoding="utf-8")
    assert pd.read_csv(tmp_path / "decisions.csv")["verdict"].tolist()[1:] == ["worse", "worse"]


def test_an_overview_counts_seeds_that_were_bought(recorded: tuple[SweepSpec, str]) -> None:
    wanted, url = recorded
    assert one_sweep(open_source(url), wanted.name).progress == "15 of 15"
    recorder = Recorder(url)
    experiment = recorder.client.get_experiment_by_name(wanted.name)
    assert experiment is not None
    config = {**wanted.cells()[1].given(), "seed": wanted.seed_order()[5]}
    run = recorder.trial(experiment.experiment_id, None, RecordedTrial(config, (0.95,)))
    overview = one_sweep(open_source(url), wanted.name)
    assert (overview.status, overview.progress) == ("completed", "16 of 16")
    recorder.client.delete_run(run)
    cells = Results(wanted.name, database_url=url).best_of_seeds()
    assert cells["n_expected"].tolist() == [5, 5, 5]
