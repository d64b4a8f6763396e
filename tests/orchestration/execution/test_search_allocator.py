"""Sweeps with a search: which trials they want, in any order of events."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_search import CONTENT, SEARCH, UNTIL
from specs import spec as plain_spec

from orchestration import SweepSpec
from orchestration.errors import InputError
from orchestration.execution.trials.search_allocator import SearchAllocator
from orchestration.execution.trials.seed_allocator import refuse_another_family
from orchestration.execution.worker.attempt import _report
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.sweep.continued import continued
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun


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


@pytest.mark.parametrize("prune", [None, {"keep": 0.5, "at": [1, 2]}])
@pytest.mark.parametrize("confirm", [None, UNTIL])
def test_a_wider_search_trains_only_what_is_new_and_is_the_same_however_it_is_interrupted(
    confirm: Mapping[str, Any] | None, prune: Mapping[str, Any] | None
) -> None:
    narrow = simulated(confirm, prune=prune)
    before = Simulation(narrow)
    # Nothing is decided before all cells have their best, so the space may still change.
    before.to_the_end(2, random.Random(0), upto=10 if confirm else 1000)
    runs = list(before.runs.values())
    space = {**SEARCH["space"], "learning_rate": {"log": [1e-5, 1e-1]}}
    wider = continued(simulated(confirm, trials=8, space=space, prune=prune), narrow, before.runs)
    first = Simulation(wider, runs)
    assert first.to_the_end(1, random.Random(0))
    assert None not in first.outcome()[0]
    rates = {first._trials[key].config.learning_rate for key in set(first.runs) - set(before.runs)}
    new = [one for one in wider.settings()[0] if one.point is not None]
    assert len(new) == 3
    assert {one.values["learning_rate"] for one in new} <= rates
    known = {key for key, run in before.runs.items() if run.finished}
    assert known.isdisjoint(first.trained)
    for seed in range(4):
        chance = random.Random(seed)
        other = Simulation(wider, runs)
        if not other.to_the_end(chance.randint(1, 6), chance, upto=chance.randrange(1, 8)):
            again = continued(wider, SweepSpec.from_json(wider.to_json()), other.runs)
            assert again == wider
            other = Simulation(again, [*other.runs.values()])
            assert other.to_the_end(chance.randint(1, 6), chance)
        assert other.outcome()[:2] == first.outcome()[:2]


def test_once_something_is_decided_the_space_may_not_change() -> None:
    narrow = simulated(UNTIL)
    space = {**SEARCH["space"], "learning_rate": {"log": [1e-5, 1e-1]}}
    keys = {trial.key for trial in narrow.trials()}
    wider = continued(simulated(UNTIL, space=space), narrow, keys)
    with pytest.raises(InputError, match="cannot change once something is decided"):
        refuse_another_family(wider, narrow, lambda: ["none is better"])
    refuse_another_family(wider, narrow, lambda: ["", ""])
    again = continued(simulated(UNTIL, space=space), wider)
    refuse_another_family(again, wider, lambda: ["none is better"])


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
