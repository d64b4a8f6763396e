"""Sweeps with a search by the command, on a real Ray."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from commands import Commands, wait_until
from ledger import Ledger, audit
from mlflow import MlflowClient
from small_search import CONTENT, SEARCH, UNTIL

from orchestration import Results, SweepSpec
from orchestration.model.trial import Trial
from orchestration.reading.open import open_source
from orchestration.reading.summaries import one_sweep
from orchestration.sweep.halving import TrialProgress, cell_search
from orchestration.sweep.recorded_spec import read_spec
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun


def alone(spec: SweepSpec) -> tuple[list[int | None], list[float]]:
    """The best setting of each cell, and its accuracies, trained by the library alone."""
    assert spec.search is not None

    def trained(trial: Trial) -> TrainingRun:
        config = trial.config
        run = TrainingRun(config, load_dataset(config.dataset, Path(), config.image_size))
        for _ in run.epochs():
            pass
        return run

    winners, accuracies = [], []
    fresh = spec.setting_trials(spec.seed_order())
    for cell, of_cell in enumerate(spec.setting_trials(spec.search.seed_list())):
        progress = []
        for trials in of_cell:
            runs = [trained(trial).history for trial in trials]
            progress.append(
                [TrialProgress([e.validation_accuracy or 0.0 for e in one], True) for one in runs]
            )
        for setting, epoch in cell_search(progress, spec.search).pruned.items():
            progress[setting] = [TrialProgress(one.values[:epoch]) for one in progress[setting]]
        winner = cell_search(progress, spec.search).winner
        assert winner is not None
        winners.append(winner + 1)
        for trial in fresh[cell][winner]:
            best = trained(trial).best
            assert best is not None
            accuracies.append(best.test_accuracy)
    return winners, accuracies


def found(name: str, uri: str) -> tuple[list[int], list[float]]:
    results = Results(name, tracking_uri=uri)
    table = results.search()
    return (
        table.loc[table["is_best"], "setting"].tolist(),
        results.by_seed()["best_test_accuracy"].tolist(),
    )


@pytest.mark.slow
def test_a_search_ends_with_the_best_settings_on_fresh_seeds_and_again_trains_nothing(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    spec, path = commands.spec("searched", CONTENT)
    told = commands.run("run", path)
    assert "2 of 2 cells have their best" in told
    of_search = [line for line in told.splitlines() if " seed 0: " in line]
    assert any("validation accuracy" in line for line in of_search)
    assert not any("test accuracy" in line for line in of_search)
    ledger = audit(client, spec)
    assert len(ledger.lost) == 6  # pruned
    assert replace(ledger, lost=[]) == Ledger()
    assert found("searched", tracking_uri) == alone(spec)
    results = Results("searched", tracking_uri=tracking_uri)
    table = results.search()
    assert table["state"].value_counts().to_dict() == {"pruned": 6, "finished": 4}
    assert table.loc[table["state"] == "pruned", "epochs"].tolist() == [1] * 6
    assert table.loc[table["state"] == "pruned", "n_collapsed"].tolist() == [0] * 6
    assert results.trials()["in_spec"].all()
    best = results.best_of_seeds()
    assert best["n_seeds"].tolist() == best["n_expected"].tolist() == [2, 2]
    cells = results.searched()
    assert cells["epochs"].tolist() == [3 * 1 + 2 * 3] * 2
    assert cells["mean"].tolist() == best["mean"].tolist()
    overview = one_sweep(open_source(tracking_uri), "searched")
    assert (overview.status, overview.progress) == ("completed", "8 of 8")
    assert overview.trials["pruned"] == 6
    assert sum(overview.trials.values()) == 8 + 6

    again = commands.run("run", path)
    assert "0 trials to run, 0 to resume, 8 finished before" in again
    pd.testing.assert_frame_equal(results.search(), table)


def n_runs(client: MlflowClient, name: str) -> int:
    """How many runs a sweep has on record, its own included."""
    experiment = client.get_experiment_by_name(name)
    return len(client.search_runs([experiment.experiment_id])) if experiment else 0


@pytest.mark.slow
@pytest.mark.release
def test_tpe_draws_its_rounds_and_goes_on_from_them_when_it_is_killed(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    search = {**SEARCH, "prune": "none", "sampler": "tpe", "round": 3}
    spec, path = commands.spec("search-tpe", {**CONTENT, "search": search})
    process = commands.start("run", path)
    wait_until(lambda: n_runs(client, "search-tpe") > 7)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    commands.run("run", path)
    results = Results("search-tpe", tracking_uri=tracking_uri)
    recorded = results.records.spec
    assert recorded is not None
    drawn = read_spec(recorded)
    assert [len(of_cell) for of_cell in drawn.settings()] == [5, 5]
    assert drawn.search is not None
    assert replace(audit(client, drawn), lost=[]) == Ledger()
    assert found("search-tpe", tracking_uri) == alone(drawn)
    assert results.searched()["n_settings"].tolist() == [5, 5]
    again = commands.run("run", path)
    assert "0 trials to run, 0 to resume, 14 finished before" in again
    assert spec.search is not None
    assert spec.search.drawn is None


@pytest.mark.slow
@pytest.mark.release
def test_hours_are_measured_once_and_a_killed_search_goes_on_with_their_settings(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    space = {**SEARCH["space"], "learning_rate": [0.001, 0.003, 0.01, 0.03, 0.1]}
    search = {**SEARCH, "space": space, "trials": None, "gpu_hours": 1e-3, "round": 3}
    _, path = commands.spec("search-hours", {**CONTENT, "search": search})
    planned = commands.start("plan", path).communicate()[0]
    assert "at least 6 settings of 2 cells" in planned
    assert "0.001 core hours of each cell" in planned
    process = commands.start("run", path)
    wait_until(lambda: n_runs(client, "search-hours") > 1)
    results = Results("search-hours", tracking_uri=tracking_uri)

    def bought() -> tuple[int | None, ...]:
        recorded = results.records.spec
        search = read_spec(recorded).search if recorded else None
        return (search and search.bought) or (None,)

    wait_until(lambda: None not in bought())
    numbers = bought()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    commands.run("run", path)
    assert bought() == numbers
    tried = results.searched()["n_settings"].tolist()
    assert tried == [min(number or 0, 10) for number in numbers]
    assert found("search-hours", tracking_uri) == alone(read_spec(str(results.records.spec)))
    again = commands.run("run", path)
    assert "0 trials to run, 0 to resume" in again
    assert bought() == numbers


@pytest.mark.slow
@pytest.mark.release
def test_a_wider_range_trains_its_new_settings_alone_and_goes_on_when_it_is_killed(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    search = {**SEARCH, "prune": "none"}
    _, path = commands.spec("search-wider", {**CONTENT, "search": search})
    commands.run("run", path)
    before = n_runs(client, "search-wider")
    space = {**SEARCH["space"], "learning_rate": {"log": [1e-4, 1e-1]}}
    search |= {"space": space, "trials": 8}
    _, path = commands.spec("search-wider", {**CONTENT, "search": search})
    process = commands.start("run", path)
    wait_until(lambda: n_runs(client, "search-wider") > before)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    told = commands.run("run", path)
    assert "has changed" not in told, "it was recorded by the command that was killed"
    results = Results("search-wider", tracking_uri=tracking_uri)
    wider = read_spec(str(results.records.spec))
    assert found("search-wider", tracking_uri) == alone(wider)
    new = [one for of_cell in wider.settings() for one in of_cell if one.point is not None]
    assert len(new) == 2 * 3
    assert (results.trials()["seed"] == 0).sum() == 2 * 8


@pytest.mark.slow
@pytest.mark.release
def test_own_training_code_is_searched_and_compared_until_decided(
    commands: Commands, client: MlflowClient, tracking_uri: str
) -> None:
    content = {
        "train": "own_runs:Fit",
        "epochs": 2,
        "grid": [{"method": ["base", "ours"]}],
        "metric": {"name": "val_error", "goal": "minimize"},
        "search": {
            "space": {"rate": {"log": [0.01, 0.3]}},
            "trials": 4,
            "prune": {"keep": 0.5, "at": [1]},
            "metric": {"name": "val_error", "goal": "minimize"},
        },
        "confirm": {"seeds": UNTIL},
        "compare": [{"method": ["base", "ours"]}],
    }
    spec, path = commands.spec("searched-own", content)
    told = commands.run("run", path)
    assert "comparisons decided" in told
    assert replace(audit(client, spec), lost=[]) == Ledger()
    results = Results("searched-own", tracking_uri=tracking_uri)
    (row,) = results.decisions().to_dict("records")
    # Both methods are the same code: the search finds the same rate for both.
    best = results.search().query("is_best")
    assert best["rate"].nunique() == 1
    assert (row["difference"], row["verdict"]) == (0.0, "undecided")
    assert row["n_pairs"] == 4
