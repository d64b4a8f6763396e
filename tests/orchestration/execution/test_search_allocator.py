"""Sweeps with a search: which trials they want in any order of events, and on a real Ray."""

from __future__ import annotations

import random
import signal
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from commands import Commands, wait_until
from ledger import Ledger, audit
from mlflow import MlflowClient
from specs import spec as plain_spec

from orchestration import Results, SweepSpec
from orchestration.execution.trials.search_allocator import SearchAllocator
from orchestration.execution.worker.attempt import _report
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.reading.open import open_source
from orchestration.reading.summaries import one_sweep
from orchestration.sweep.halving import TrialProgress, cell_search
from orchestration.sweep.recorded_spec import read_spec
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

SEARCH: dict[str, Any] = {
    "space": {"learning_rate": {"log": [1e-3, 1e-1]}, "init": ["default", "kaiming"]},
    "trials": 5,
    "prune": {"keep": 0.4, "at": [1]},
}
CONTENT: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 3,
    "training": {"batch_size": 16, "validation_fraction": 0.25},
    "grid": [{"architecture": "ann", "norm": ["none", "homeostatic"], "width": 2}],
    "search": SEARCH,
    "confirm": {"seeds": [101, 102]},
}
UNTIL = {"until": "decided", "alpha": 0.5, "at_least": 2, "at_most": 4}


def simulated(
    confirm: Mapping[str, Any] | None = None, settings: int = 1, **search: Any
) -> SweepSpec:
    """A spec with a search of two cells of packaged networks."""
    given: dict[str, Any] = {**CONTENT, "dataset": "digits", "search": {**SEARCH, **search}}
    given["confirm"] = {"seeds": [101, 102] if confirm is None else confirm, "settings": settings}
    if confirm is not None:
        given["compare"] = [{"norm": ["none", "homeostatic"]}]
    return SweepSpec.from_dict(plain_spec(**given, seeds="absent"))


def history(trial: Trial) -> list[float]:
    """What a trial records on held-out images: the same whenever it is trained."""
    chance = random.Random(trial.key)
    return sorted(chance.random() for _ in range(3))


class Simulation:
    """Any number of workers that take trials from an allocator and end in any order."""

    def __init__(self, spec: SweepSpec, runs: Sequence[TrialRun] = ()) -> None:
        self.runs = {run.trial_key: run for run in runs}
        self._trials = {trial.key: trial for trial in spec.possible_trials()}
        self.allocator = SearchAllocator(spec, runs, self._read)
        self.at_work: list[Trial] = []
        self.trained: list[str] = []
        self._given: set[str] = set()

    def _read(self, run_ids: Sequence[str]) -> dict[str, list[float]]:
        return {
            key: history(self._trials[key])[: self.runs[key].epochs_done]
            for key in run_ids
            if key in self.runs
        }

    def seconds(self, run_ids: Sequence[str]) -> dict[str, list[float]]:
        """The seconds of the epochs of runs: a minute each, or two of the second cell."""
        norms = {key: self._trials[key].config.norm for key in run_ids}
        return {
            key: [60.0 if norms[key] == "none" else 120.0] * self.runs[key].epochs_done
            for key in run_ids
        }

    def hours(self) -> list[float]:
        """The hours of the search by cell."""
        trials = (self._trials[key] for key in self.runs)
        searched = [trial.key for trial in trials if trial.config.seed == 0]
        spent = dict.fromkeys(("none", "homeostatic"), 0.0)
        for key, seconds in self.seconds(searched).items():
            spent[self._trials[key].config.norm] += sum(seconds) / 3600
        return list(spent.values())

    def fill(self, workers: int) -> None:
        waiting = self.allocator.next(self._given)
        self._given |= {trial.key for trial in waiting}
        self.at_work += waiting
        self._workers = workers

    def end(self, chance: random.Random) -> None:
        """End one of the trials that have a worker."""
        trial = self.at_work.pop(chance.randrange(min(self._workers, len(self.at_work))))
        stop = self.allocator.target(trial.key)
        epochs = 3 if stop is None else stop
        run = TrialRun(trial.key, trial.key, "FINISHED", "completed", epochs, 1.0, "1", False, 0.5)
        if stop is not None:
            run = replace(run, status="KILLED", outcome=None, resumable=True)
        self.runs[trial.key] = run
        self.trained.append(trial.key)
        self.allocator.record(trial.key, trial.key, has_ended=stop is None)
        if stop is None:
            best = random.Random(trial.key + "test").random()
            self.runs[trial.key] = replace(run, best=best)
            self.allocator.take(trial.key, "completed", best)

    def to_the_end(self, workers: int, chance: random.Random, upto: int = 1000) -> bool:
        for _ in range(upto):
            self.fill(workers)
            if not self.at_work:
                return True
            self.end(chance)
        return False

    def outcome(self) -> tuple[Any, ...]:
        finished = {key for key, run in self.runs.items() if run.finished}
        winners = [state.winner for state in self.allocator.searches()]
        return winners, self.allocator.pruned(), finished, self.allocator.verdicts()


@pytest.mark.parametrize("confirm", [None, UNTIL])
@pytest.mark.parametrize("prune", [None, SEARCH["prune"], {"keep": 0.6, "at": [1, 2]}])
def test_in_any_order_with_any_number_of_workers_and_interrupted_it_trains_the_same(
    confirm: Mapping[str, Any] | None, prune: Mapping[str, Any] | None
) -> None:
    wanted = simulated(confirm, prune=prune)
    first = Simulation(wanted)
    assert first.to_the_end(1, random.Random(0))
    assert None not in first.outcome()[0]
    confirmed = {key for key in first.trained if first._trials[key].config.seed > 0}
    assert len(confirmed) >= 4
    for seed in range(6):
        chance = random.Random(seed)
        other = Simulation(wanted)
        if not other.to_the_end(chance.randint(1, 6), chance, upto=chance.randrange(1, 12)):
            other = Simulation(wanted, [*other.runs.values()])
            assert other.to_the_end(chance.randint(1, 6), chance)
        found, expected = other.outcome(), first.outcome()
        assert found[:2] == expected[:2]
        if confirm is None:
            assert found == expected


def by_rounds(spec: SweepSpec, workers: int, chance: random.Random, upto: int) -> Simulation:
    """A search whose further settings follow from the record, as often as its trials have ended.

    After every ``upto`` trials it is interrupted, and what it had drawn is lost.
    """
    wanted, runs = spec, list[TrialRun]()
    while True:
        run = Simulation(wanted, runs)
        ended = run.to_the_end(workers, chance, upto)
        runs = list(run.runs.values())
        wanted = wanted if ended else spec
        record = Simulation(wanted, runs)
        further = record.allocator.with_further_settings(record.seconds)
        if ended and further == wanted:
            return run
        wanted = further


@pytest.mark.parametrize("confirm", [None, UNTIL])
def test_tpe_has_the_same_settings_however_it_is_interrupted(
    confirm: Mapping[str, Any] | None,
) -> None:
    spec = simulated(confirm, prune=None, sampler="tpe", trials=9, round=3)
    first = by_rounds(spec, 1, random.Random(0), upto=1000)
    searched = {key for key in first.runs if first._trials[key].config.seed == 0}
    assert len(searched) == 2 * 9
    assert None not in first.outcome()[0]
    chance = random.Random(1)
    other = by_rounds(spec, 4, chance, upto=7)
    assert {key for key in other.runs if other._trials[key].config.seed == 0} == searched
    assert other.outcome()[0] == first.outcome()[0]


@pytest.mark.parametrize(
    "search",
    [
        {"prune": None},
        {"prune": {"keep": 0.5, "at": [1]}},
        {"prune": {"keep": 0.4, "at": [1, 2]}},
        {"prune": None, "sampler": "tpe"},
    ],
)
def test_hours_are_enough_for_the_same_settings_however_it_is_interrupted(
    search: Mapping[str, Any],
) -> None:
    spec = simulated(**{"trials": None, "gpu_hours": 0.5, "round": 4, **search})
    first = by_rounds(spec, 1, random.Random(0), upto=1000)
    assert None not in first.outcome()[0]
    assert all(0.29 < hours < 0.5 + 1e-9 for hours in first.hours())
    quick, slow = (len(state.target) + len(state.pruned) for state in first.allocator.searches())
    assert quick >= 2 * slow >= 2 * 4
    for seed in range(3):
        chance = random.Random(seed)
        other = by_rounds(spec, chance.randint(1, 6), chance, upto=chance.randint(4, 12))
        assert other.outcome() == first.outcome()


def test_no_setting_of_tpe_is_confirmed_before_all_are_drawn() -> None:
    run = Simulation(simulated(prune=None, sampler="tpe", trials=5, round=3))
    assert run.to_the_end(2, random.Random(0))
    assert run.outcome()[0] == [None, None]
    assert "6 of 10 settings trained" in run.allocator.next_decision()
    assert not any(run._trials[key].config.seed for key in run.trained)


@pytest.mark.parametrize("confirm", [None, UNTIL])
def test_the_next_best_settings_are_confirmed_too_and_decide_nothing(
    confirm: Mapping[str, Any] | None,
) -> None:
    one, two = (Simulation(simulated(confirm, n, prune=None)) for n in (1, 2))
    for run in (one, two):
        assert run.to_the_end(3, random.Random(0))
    assert one.outcome()[0] == two.outcome()[0]
    assert one.outcome()[3] == two.outcome()[3]
    further = set(two.trained) - set(one.trained)
    labels = [two._trials[key].cell_label for key in further]
    second = [state.ranking[1] + 1 for state in two.allocator.searches()]
    assert sorted(set(labels)) == sorted(
        f"ann {norm} setting {number}"
        for norm, number in zip(("none", "homeostatic"), second, strict=True)
    )
    assert len(further) == 2 * 2  # the certain seeds
    assert set(one.trained) < set(two.trained)


def test_a_larger_search_goes_on_from_a_smaller_one() -> None:
    smaller, larger = simulated(prune=None), simulated(prune=None, trials=9)
    before = Simulation(smaller)
    before.to_the_end(2, random.Random(0))
    after = Simulation(larger, list(before.runs.values()))
    after.to_the_end(2, random.Random(0))
    alone = Simulation(larger)
    alone.to_the_end(1, random.Random(1))
    assert after.outcome()[0] == alone.outcome()[0]
    searched = [key for key in after.trained if after._trials[key].config.seed == 0]
    assert len(searched) == 2 * (9 - 5)


def test_a_cell_with_a_failed_trial_has_no_best_setting_and_the_other_has() -> None:
    run = Simulation(simulated(prune=None))
    run.fill(1)
    failed = run.at_work.pop(0)
    run.allocator.fail(failed.key)
    assert run.to_the_end(1, random.Random(0))
    winners = run.outcome()[0]
    assert winners[0] is None
    assert winners[1] is not None
    assert {
        run._trials[key].config.norm for key in run.trained if run._trials[key].config.seed
    } == {"homeostatic"}


def test_a_worker_reports_the_metric_that_chooses_settings() -> None:
    spec = simulated(trials=1)
    ((tried, fresh),) = spec.setting_trials([0, 101])[0]
    run = TrainingRun(tried.config, load_dataset("digits", Path()))
    first, second = run.run_epoch(), run.run_epoch()
    assert first is not None
    assert second is not None
    best = first if first.validation_accuracy >= second.validation_accuracy else second
    reported = _report(run, tried)
    assert reported["value"] == second.validation_accuracy
    assert reported["best"] == best.validation_accuracy
    assert _report(run, fresh)["value"] == second.test_accuracy


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
