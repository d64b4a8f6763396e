"""Declared comparisons of training code of the user's own: its metric, goal, and units."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import pytest
from recorded import RecordedTrial, Recorder

from orchestration import Results, SweepSpec
from orchestration.errors import InputError
from orchestration.execution.trials.seed_allocator import SeedAllocator, refuse_another_family
from orchestration.model.run import TrialRun
from orchestration.record.client import connect
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.results.deciding.allocation import verdicts_in_words
from orchestration.results.deciding.decisions import (
    decisions,
    evidence_curves,
    trials_by_cell,
)
from orchestration.results.deciding.state import decision_state
from orchestration.store.open import open_storage
from orchestration.tables import decisions as decisions_table
from orchestration.tables.numbers import numbers_of
from orchestration.tables.report_data import read_report_data

NAN = math.nan


def sweep(goal: str = "minimize", **seeds: Any) -> SweepSpec:
    content = {
        "name": "own decided",
        "train": "nowhere_at_all:Run",
        "epochs": 3,
        "seeds": {"until": "decided", "at_least": 3, "at_most": 12, **seeds},
        "grid": [{"method": ["base", "ours"], "hidden": [[64, 64]]}],
        "compare": [{"method": ["ours", "base"]}],
        "metric": {"name": "val_loss", "goal": goal},
    }
    return SweepSpec.from_json(json.dumps(content))


CELLS = pd.DataFrame({"method": ["base", "ours"], "selected_on": "val_loss"})


def rows_of(
    spec: SweepSpec, base: Sequence[float], ours: Sequence[float], diverged: Sequence[int] = ()
) -> pd.DataFrame:
    """Values of the first seeds of both cells; these of ours have diverged."""
    rows = [
        (cell, seed, value, "diverged" if cell == 1 and n in diverged else "completed")
        for cell, values in enumerate((base, ours))
        for n, (seed, value) in enumerate(zip(spec.seed_order(), values, strict=False))
    ]
    return pd.DataFrame(rows, columns=["cell", "seed", "best_val_loss", "outcome"])


def verdict(spec: SweepSpec, *values: Any) -> pd.Series:
    ((_, row),) = decisions(CELLS, rows_of(spec, *values), spec).iterrows()
    return row


def noisy(mean: float, seed: int = 0, n: int = 12) -> list[float]:
    return (mean + 0.1 * np.random.default_rng(seed).standard_normal(n)).tolist()


@pytest.mark.parametrize(("goal", "word"), [("minimize", "worse"), ("maximize", "better")])
def test_the_goal_says_what_is_better_and_numbers_are_in_its_units(goal: str, word: str) -> None:
    spec = sweep(goal)
    base, ours = noisy(2.0), noisy(42.0, 1)
    row = verdict(spec, base, ours)
    assert (row["verdict"], row["compared"], row["against"]) == (word, "method", "base")
    n = row["n_pairs"]
    assert n < 12
    mean = np.mean(np.subtract(ours, base)[:n])
    assert row["difference"] == pytest.approx(mean)
    assert row["ci_low"] < mean < row["ci_high"]
    assert row["decided_at"] == spec.seed_order()[n - 1]
    assert not {"difference_pp", "ci_low_pp"} & set(row.index)
    curves = evidence_curves(CELLS, rows_of(spec, base, ours), spec)
    last = curves[curves["verdict"].notna()].iloc[0]
    assert (last["n"], last["verdict"], last["ci_low"]) == (n, word, row["ci_low"])


def test_the_smallest_effect_is_in_units_of_the_metric() -> None:
    base, ours = noisy(100.0), noisy(100.0, 1)
    assert verdict(sweep(practically_equal=20.0), base, ours)["verdict"] == "equal"
    assert verdict(sweep(practically_equal=0.001), base, ours)["verdict"] == "undecided"


def test_a_trial_that_diverged_has_no_value_and_counts_as_a_failure() -> None:
    """Not as a loss of 0, which would be the best there is."""
    spec = sweep(at_most=40)
    base = noisy(2.0, n=40)
    some = verdict(spec, base, [NAN, *noisy(1.0, 1, 39)], [0])
    assert some["verdict"] == "better"
    assert some["difference"] == pytest.approx(-1.0, abs=0.2)
    assert some["n_uncounted"] == 1
    every = verdict(spec, base, [NAN] * 40, range(40))
    assert every["verdict"] == "worse"
    assert math.isnan(every["difference"])
    assert (every["ci_low"], every["ci_high"]) == (-math.inf, math.inf)
    # Diverged late, it has the value of its best epoch; what counts is that it failed.
    late = verdict(spec, base, [0.5] * 40, range(40))
    assert late["verdict"] == "worse"
    assert math.isnan(late["difference"])


def test_difference_interval_and_verdict_are_of_the_pairs_in_which_no_trial_failed() -> None:
    """A diverged trial has the value of its best epoch, which counts for none of them."""
    spec = sweep(at_most=40)
    base, ours = noisy(2.0, n=40), noisy(1.0, 1, 40)
    ours[1] = 500.0
    row = verdict(spec, base, ours, [1])
    n = row["n_pairs"]
    counted = np.delete(np.subtract(ours, base)[:n], 1)
    assert (row["verdict"], row["n_uncounted"]) == ("better", 1)
    assert row["difference"] == pytest.approx(counted.mean())
    assert row["ci_low"] < counted.mean() < row["ci_high"] < 0
    without = decisions(CELLS, rows_of(spec, base, ours), spec)
    assert without["n_uncounted"].tolist() == [0]
    for form in ("table", "markdown"):
        text = decisions_table.TABLE.write(pd.DataFrame([row]), form, metric=spec.judged_by())
        assert "1 of its pairs do not count: a trial failed" in " ".join(text.split())


def as_table(row: pd.Series) -> str:
    metric = sweep().judged_by()
    return decisions_table.TABLE.write(pd.DataFrame([row]), "markdown", metric=metric)


def base_fails(spec: SweepSpec, ours: list[float]) -> tuple[pd.Series, str]:
    """The decision, in which all seeds but the first two of base diverge, and its words."""
    rows = rows_of(spec, [2.0, 2.1, *noisy(2.0, n=38)], ours)
    diverged = (rows["cell"] == 0) & rows["seed"].isin(spec.seed_order()[2:])
    rows.loc[diverged, "outcome"] = "diverged"
    ((_, row),) = decisions(CELLS, rows, spec).iterrows()
    (words,) = verdicts_in_words(spec, decision_state(spec, trials_by_cell(CELLS, rows)))
    return row, words


@pytest.mark.parametrize("assume", ["exchangeable", "normal"])
def test_where_failures_tell_the_verdict_no_difference_stands_beside_it(assume: str) -> None:
    row, words = base_fails(sweep(at_most=40, assume=assume), [2.1, 2.05, *noisy(2.0, 1, 38)])
    assert (row["verdict"], row["decided_by"]) == ("better", "failures")
    assert math.isnan(row["difference"])
    assert (row["ci_low"], row["ci_high"]) == (-math.inf, math.inf)
    n = row["n_pairs"]
    assert row["n_uncounted"] == row["n_failed_against"] == n - 2
    counts = f"0 of {n} seeds failed, against {n - 2}"
    assert words.endswith(f"better after {n} seeds, by failures ({counts}) ({assume})")
    text = as_table(row)
    assert f"better by failures: {counts}" in text


@pytest.mark.parametrize("assume", ["exchangeable", "normal"])
def test_where_failures_and_means_point_apart_neither_is_better(assume: str) -> None:
    row, words = base_fails(sweep(at_most=40, assume=assume), [6.0, 6.1, *noisy(6.0, 1, 38)])
    assert (row["verdict"], row["decided_by"]) == ("different", "differences and failures")
    assert row["difference"] == pytest.approx(4.0, abs=0.3)
    assert ": different after " in words
    text = as_table(row)
    assert "neither better nor worse: failures (0 of" in text


def test_cells_whose_trials_failed_are_not_called_equal() -> None:
    spec = sweep(practically_equal=20.0)
    base, ours = noisy(100.0), noisy(100.0, 1)
    row = verdict(spec, base, ours, [0, 4])
    assert (row["verdict"], row["n_uncounted"]) == ("undecided", 2)
    assert -20 < row["ci_low"] < row["ci_high"] < 20


def test_everything_diverged_is_undecided() -> None:
    spec = sweep()
    row = verdict(spec, [NAN] * 12, [NAN] * 12, range(12))
    assert (row["verdict"], row["n_pairs"]) == ("undecided", 12)


def test_seeds_are_bought_until_it_is_decided() -> None:
    spec = sweep()
    by_place = {(1, n): noisy(1.0)[n] for n in range(12)} | {
        (0, n): noisy(2.0, 1)[n] for n in range(12)
    }
    content = json.loads(spec.to_json())
    content["train"] = "own_runs:Fit"
    from commands import USERS_FOLDER

    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(USERS_FOLDER)
        spec = SweepSpec.from_dict(content)
        allocator = SeedAllocator(spec)
        cells = [cell.given()["method"] for cell in spec.cells()]
        given: set[str] = set()
        bought = 0
        while trials := allocator.next(given):
            bought += 1
            for trial in trials:
                given.add(trial.key)
                place = cells.index(trial.config.given()["method"])
                number = spec.seed_order().index(trial.config.seed)
                allocator.time(trial.key, 1.0)
                allocator.take(trial.key, "completed", by_place[place, number])
        (words,) = allocator.verdicts()
        assert words.startswith("method=ours against base: better after ")
        assert words.split(" by ")[1].startswith("-")
        assert 3 <= bought < 12
        assert allocator.forecast().likely is not None
        assert "next decision" not in allocator.next_decision()
        ended = [
            TrialRun(key, key, "FINISHED", "completed", 3, 1.0, "1", False,
                        by_place[cells.index(trial.config.given()["method"]),
                                 spec.seed_order().index(trial.config.seed)])
            for key, trial in allocator.possible.items() if key in given
        ]  # fmt: skip
        assert SeedAllocator(spec, ended).verdicts() == [words]
        other = SweepSpec.from_dict({**content, "metric": {"name": "x", "goal": "minimize"}})
        with pytest.raises(InputError, match="compare, metric and the rule in seeds"):
            refuse_another_family(other, spec, SeedAllocator(spec, ended).verdicts)


@pytest.fixture
def uri(sqlite_database: Callable[[], str]) -> str:
    """Recorded until it is decided: ours is better."""
    uri, spec = sqlite_database(), sweep()
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    for cell, values in zip(spec.cells(), (noisy(2.0), noisy(1.0, 1)), strict=True):
        for seed, value in zip(spec.seed_order(), values[:8], strict=False):
            given = {**cell.given(), "seed": seed}
            metrics = {
                "val_loss": [value + 1, value, value + 0.5],
                "val_iou": [0.1, 0.2, 0.3],
                "epoch_seconds": [1.0] * 3,
            }
            key = f"{given['method']} {seed}"
            recorder.trial(experiment, parent, RecordedTrial(given, key=key, metrics=metrics))
    return uri


def test_results_and_report_have_the_decisions(uri: str) -> None:
    results = Results("own decided", tracking_uri=uri)
    (row,) = results.decisions().to_dict("records")
    assert (row["method"], row["verdict"], row["hours_of"]) == ("ours", "better", "core")
    assert row["difference"] == pytest.approx(-1.0, abs=0.2)
    snapshot = results.snapshot()
    text = decisions_table.TABLE.write(snapshot.decisions(), "table", metric=snapshot.metric)
    assert "pp" not in text
    assert "val_loss: smaller is better." in text
    data = read_report_data(results)
    assert data.evidence is not None
    found = {(one.where, one.column): one.text for one in numbers_of(data)}
    assert found[("method ours", "decided against method base"), "verdict"] == "better"


def test_what_the_buyer_knows_is_taken_from_all_epochs(uri: str, tmp_path: Any) -> None:
    recorder = SweepRecorder(connect(uri), "own decided", open_storage(str(tmp_path)))
    runs = recorder.recorded()
    assert {run.best for run in runs} == {None}
    spec = sweep()
    values = sorted(run.best or NAN for run in recorder.judged(runs, spec))
    assert values == sorted(noisy(2.0)[:8] + noisy(1.0, 1)[:8])
    content = json.loads(spec.to_json())
    content["metric"] = {"name": "val_iou", "goal": "maximize"}
    other = SweepSpec.from_json(json.dumps(content))
    assert {run.best for run in recorder.judged(runs, other)} == {0.3}
    content["seeds"], content["compare"] = [1, 2], []
    assert recorder.judged(runs, SweepSpec.from_json(json.dumps(content))) == runs
