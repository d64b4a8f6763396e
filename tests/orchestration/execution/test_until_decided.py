"""Sweeps with seeds until decided, and with a budget, on a real Ray and tracking server."""

from __future__ import annotations

import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import SLOW, Commands, epochs_of, wait_until
from ledger import Ledger, audit
from mlflow import MlflowClient

from orchestration import Results, SweepSpec
from orchestration.reading.open import open_source
from orchestration.reading.summaries import one_sweep
from orchestration.results.deciding.decisions import decisions
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

pytestmark = pytest.mark.slow

CONTENT: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 2,
    "seeds": {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 5},
    "compare": [{"norm": [SLOW], "against": ["none", "homeostatic"]}],
    "training": {"batch_size": 16},
    "grid": [{"architecture": "ann", "norm": [SLOW, "none", "homeostatic"], "width": 2}],
}

ROUNDS = int(os.environ.get("SNN_TEST_FAULT_ROUNDS", "1"))
"""Moments at which it is killed."""


def decided(name: str, uri: str) -> pd.DataFrame:
    return Results(name, tracking_uri=uri).decisions()


def test_a_sweep_buys_seeds_until_it_is_decided_and_again_nothing(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    spec, path = commands.spec("until", CONTENT)
    told = commands.run("run", path)
    assert audit(client, spec) == Ledger()
    table = decided("until", tracking_uri)
    open_ones = table["verdict"] == "undecided"
    assert (table.loc[open_ones, "n_pairs"] == 5).all()
    assert " comparisons decided" in told
    cells = Results("until", tracking_uri=tracking_uri).best_of_seeds()
    assert cells["n_seeds"].tolist() == cells["n_expected"].tolist()
    # Without evidence a comparison goes to the end, where it is decided earlier it stops there.
    needed = [max(table["n_pairs"]), *table["n_pairs"]]
    assert all(n >= most for n, most in zip(cells["n_seeds"], needed, strict=True))
    overview = one_sweep(open_source(tracking_uri), "until")
    assert (overview.status, overview.progress) == (
        "completed",
        f"{cells['n_seeds'].sum()} of {cells['n_seeds'].sum()}",
    )

    again = commands.run("run", path)
    assert f"0 trials to run, 0 to resume, {cells['n_seeds'].sum()} finished before" in again
    pd.testing.assert_frame_equal(decided("until", tracking_uri), table)

    compare = [{"norm": ["none", "homeostatic"]}]
    _, other = commands.spec("until", {**CONTENT, "compare": compare})
    if not open_ones.all():
        assert "give the sweep another name" in commands.run("run", other, code=2)


@pytest.mark.release
def test_own_training_code_gets_seeds_until_it_is_decided_and_leaves_models(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    content = {
        "train": "own_runs:Fit",
        "epochs": 2,
        "seeds": {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 4},
        "compare": [{"rate": [0.05, 0.2]}],
        "grid": [{"rate": [0.05, 0.2], "hidden": [[8, 8]]}],
        "metric": {"name": "val_error", "goal": "minimize"},
    }
    spec, path = commands.spec("until-own", content)
    told = commands.run("run", path)
    assert audit(client, spec) == Ledger()
    assert " comparisons decided" in told
    assert "has no model" not in told
    results = Results("until-own", tracking_uri=tracking_uri)
    (row,) = results.decisions().to_dict("records")
    seeds = results.by_seed().pivot(index="seed", columns="rate", values="best_val_error")
    pairs = seeds.loc[list(spec.seed_order()[: row["n_pairs"]])]
    assert row["difference"] == pytest.approx((pairs[0.05] - pairs[0.2]).mean())
    assert row["verdict"] == ("worse" if row["difference"] > 0 else "better") or (
        row["verdict"] == "undecided" and row["n_pairs"] == 4
    )
    models = results.models()
    assert models["missing"].isna().all()
    assert models["val_error"].tolist() == results.by_seed()["best_val_error"].tolist()
    again = commands.run("run", path)
    assert f"0 trials to run, 0 to resume, {len(models)} finished before" in again


@pytest.mark.release
def test_a_budget_that_is_used_up_ends_a_sweep_in_order_and_more_of_it_goes_on(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    content = {
        **{key: value for key, value in CONTENT.items() if key != "compare"},
        "seeds": [1, 2],
        "gpu_hours": 1e-9,
    }
    spec, path = commands.spec("budget", content)
    told = commands.run("run", path)
    assert "gpu_hours are used up: 6 trials are missing (ann " in told
    assert audit(client, spec).running == []
    assert one_sweep(open_source(tracking_uri), "budget").status == "stopped"
    runs = client.search_runs(
        [client.get_experiment_by_name("budget").experiment_id],  # type: ignore[union-attr]
        "tags.`snn_sweep.role` = 'trial'",
    )
    assert {run.info.status for run in runs} == {"KILLED"}
    assert all("with more of them" in run.data.tags["snn_sweep.reason"] for run in runs)
    epochs = [len(client.get_metric_history(r.info.run_id, "test_accuracy")) for r in runs]
    assert set(epochs) == {1}, "stopped elsewhere than at the end of an epoch"

    assert "6 trials are missing" in commands.run("run", path), "there is nothing left of it"
    _, path = commands.spec("budget", {**content, "gpu_hours": 100.0})
    commands.run("run", path)
    assert audit(client, spec) == Ledger()


@pytest.mark.release
@pytest.mark.parametrize("seed", range(ROUNDS))
def test_killed_at_a_random_moment_it_takes_the_same_decisions(
    seed: int, commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    name = f"killed-{seed}"
    # Without `assume` the sweep has the newest rule, and this spec alone the oldest.
    seeds = {**CONTENT["seeds"], "assume": "exchangeable"}
    spec, path = commands.spec(name, {**CONTENT, "epochs": 4, "seeds": seeds})
    process = commands.start("run", path)
    wait_until(lambda: epochs_of(client, name) > 0)
    time.sleep(random.Random(seed).uniform(0, 12))
    assert process.poll() is None, "it was killed too late"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    commands.run("run", path)
    assert audit(client, spec) == Ledger()
    struck = decided(name, tracking_uri)
    names = ["against", "verdict", "n_pairs", "decided_at", "e_value", "difference_pp"]
    undisturbed = decided_by_all(spec)
    pd.testing.assert_frame_equal(struck[names], undisturbed[names], check_dtype=False)


def decided_by_all(spec: SweepSpec) -> pd.DataFrame:
    """The decisions from every seed that may be allocated, trained here by the library alone."""
    cells = spec.cells()
    rows = []
    every = spec.trials([len(spec.seed_order())] * len(cells))
    for place, trial in enumerate(every):
        config = trial.config
        run = TrainingRun(config, load_dataset(config.dataset, Path(), config.image_size))
        for _ in run.epochs():
            pass
        best = run.best.test_accuracy if run.best else float("nan")
        rows.append((place // len(spec.seed_order()), config.seed, best, run.outcome))
    seeds = pd.DataFrame(rows, columns=["cell", "seed", "best_test_accuracy", "outcome"])
    given = [{axis: cell.given()[axis] for axis in spec.axes()} for cell in cells]
    return decisions(pd.DataFrame(given).assign(selected_on=None), seeds, spec)
