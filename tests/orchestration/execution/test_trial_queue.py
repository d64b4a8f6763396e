"""What runs next: in step, ahead only for idle workers, and to the same end whatever happens."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from specs import spec

from orchestration.errors import InputError
from orchestration.execution.trials.fair_share import FairShare
from orchestration.execution.trials.seed_allocator import SeedAllocator, refuse_another_family
from orchestration.execution.trials.trial_queue import Budget, SweepTrialQueue
from orchestration.execution.tune import _Searcher
from orchestration.execution.worker.task import TrialTask
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress.events import DecisionProgress, Event, Note
from orchestration.store.open import sweep_storage
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings

NORMS = ["none", "bntt", "homeostatic", "tebn"]
COMPARE = [{"norm": ["none"], "against": ["bntt"]}, {"norm": ["bntt", "homeostatic"]}]


def sweep(compare: Any = COMPARE, norms: Sequence[str] = NORMS[:3], **keys: Any) -> SweepSpec:
    seeds = {"until": "decided", "at_least": 5, "at_most": 12, **keys}
    grid = [{"architecture": "snn", "norm": list(norms), "width": 8}]
    return SweepSpec.from_dict(spec(seeds=seeds, compare=compare, grid=grid))


def result(trial: Trial) -> tuple[str, float]:
    """Without a norm nothing is learned; homeostatic is better by three standard deviations."""
    if trial.config.norm == "none":
        return "collapsed", 0.1
    noise = np.random.default_rng([trial.config.seed, len(trial.config.norm)]).standard_normal()
    return "completed", 0.9 + 0.01 * (noise + 3.0 * (trial.config.norm == "homeostatic"))


def recorded(trial: Trial) -> TrialRun:
    outcome, accuracy = result(trial)
    return TrialRun(
        f"run-{trial.key}", trial.key, "FINISHED", outcome, 3, 1.0, "1", False, accuracy
    )


class Run:
    """A queue of trials and the tasks it returned, for any number of workers."""

    def __init__(
        self,
        wanted: SweepSpec,
        folder: Path,
        before: Sequence[Trial] = (),
        hours: float | None = None,
    ) -> None:
        self.allocator = SeedAllocator(wanted, map(recorded, before))
        self.events: list[Event] = []
        self.ended = list(before)
        self.at_work: list[TrialTask] = []
        settings = Settings.from_environment({"SNN_SWEEP_HOME": str(folder)})
        self._storage = sweep_storage(settings, wanted.name)
        first = [t for t in self.allocator.wanted() if t.key not in {t.key for t in before}]
        tasks = self._tasks(first)
        self.queue = SweepTrialQueue(
            tasks, Budget(hours), self.allocator, self._tasks, self.events.append
        )

    def _tasks(self, trials: Sequence[Trial]) -> list[TrialTask]:
        return [
            TrialTask(
                trial=trial,
                experiment_id="1",
                parent_run_id="p",
                run_id=None,
                storage=self._storage.folder(trial.key),
                data=Path(),
                tracking_uri="",
                cpu=2.0,
                gpu=0.0,
                import_path="",
                patience=0.0,
                driver="",
            )
            for trial in trials
        ]

    def fill(self, workers: int) -> None:
        while len(self.at_work) < workers and (task := self.queue.next(idle=True)):
            self.at_work.append(task)

    def end(self, place: int) -> Trial:
        task = self.at_work.pop(place)
        trial = self.allocator.possible[task.trial.key]
        outcome, accuracy = result(trial)
        report = {"outcome": outcome, "best": accuracy}
        self.queue.take(task, {**report, "epoch": 3, "epoch_seconds": 900.0})
        self.ended.append(trial)
        return trial

    def to_the_end(self, workers: int, chance: random.Random, upto: int = 10_000) -> bool:
        """Whether nothing is left; workers end in any order."""
        for _ in range(upto):
            self.fill(workers)
            if not self.at_work:
                return True
            self.end(chance.randrange(len(self.at_work)))
        return False

    @property
    def by_norm(self) -> dict[str, int]:
        norms = [trial.config.norm for trial in self.ended]
        return {norm: norms.count(norm) for norm in dict.fromkeys(norms)}


def test_a_decided_cell_gets_no_more_seeds_and_the_others_do(tmp_path: Path) -> None:
    run = Run(sweep(), tmp_path)
    assert run.to_the_end(1, random.Random(0))
    verdicts = run.allocator.verdicts()
    assert verdicts[0].startswith(
        "snn none against bntt: worse after 5 seeds, by failures (5 of 5 seeds failed, against 0) "
        "and -8"
    )
    assert verdicts[1].startswith("snn bntt against homeostatic: worse after ")
    looks = int(verdicts[1].split("after ")[1].split()[0])
    assert 5 < looks < 12
    assert run.by_norm == {"none": 5, "bntt": looks, "homeostatic": looks}
    assert run.allocator.not_needed() == 0
    words = [event.words for event in run.events if isinstance(event, DecisionProgress)]
    start = "1 of 2 comparisons decided · next decision: snn bntt against homeostatic after 6 of"
    assert any(text.startswith(start) for text in words)
    assert words[-1] == "2 of 2 comparisons decided"
    assert run.queue.summary().startswith("2 of 2 comparisons decided · 0 trials")


def test_why_there_is_no_model_is_told_once(tmp_path: Path) -> None:
    run = Run(sweep([{"norm": NORMS[:2]}]), tmp_path)
    report = {"epoch": 1, "epoch_seconds": 1.0, "best": 0.5, "outcome": "completed"}
    for reason in ("it holds a set", "it holds a set", "it gives none", None):
        task = run.queue.next(idle=True)
        assert task is not None
        run.queue.take(task, {**report, "no_model": reason})
    told = [event.text for event in run.events if isinstance(event, Note)]
    told = [text.partition(" has ")[2] for text in told if text.startswith("warning: ")]
    assert told == ["no model: it holds a set", "no model: it gives none"]


@pytest.mark.parametrize("seed", range(8))
def test_whatever_is_struck_and_resumed_comes_to_the_same_decisions(
    seed: int, tmp_path: Path
) -> None:
    undisturbed = Run(sweep(), tmp_path)
    undisturbed.to_the_end(1, random.Random(0))
    chance = random.Random(seed)
    ended: list[Trial] = []
    while True:
        run = Run(sweep(), tmp_path, ended)
        over = run.to_the_end(chance.randint(1, 5), chance, chance.randint(1, 8))
        ended = run.ended
        if over:
            break
    assert run.allocator.verdicts() == undisturbed.allocator.verdicts()
    assert len({trial.key for trial in ended}) == len(ended)
    assert len(ended) == len(undisturbed.ended) + run.allocator.not_needed()


def test_a_worker_without_work_runs_two_seeds_ahead_and_no_more(tmp_path: Path) -> None:
    run = Run(sweep(), tmp_path)
    run.to_the_end(1, random.Random(0), upto=15)
    run.fill(100)
    seeds = run.allocator._order[5:8]
    given = [(t.config.norm, t.config.seed) for t in map(_trial_of(run), run.at_work)]
    assert sorted(given) == sorted((n, s) for n in ("bntt", "homeostatic") for s in seeds)


def _trial_of(run: Run) -> Any:
    return lambda task: run.allocator.possible[task.trial.key]


def test_a_worker_that_tune_keeps_for_the_next_trial_counts_as_idle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its resources are not free, as Ray has it."""
    monkeypatch.setattr("ray.available_resources", dict)
    run = Run(sweep(), tmp_path)
    run.to_the_end(1, random.Random(0), upto=15)
    queue = _Searcher(run.queue, FairShare(1.0, None, run.events.append))
    for name in ("a", "b"):
        assert isinstance(queue.suggest(name), dict)
    assert queue.suggest("c") is None, "two wait for a worker"
    for name in ("a", "b"):
        queue.start(name)
    assert queue.suggest("c") is None, "both workers are busy"
    queue.end("a")
    assert isinstance(queue.suggest("c"), dict)
    assert queue.suggest("d") is None, "one is as many as are idle"


def test_seeds_are_allocated_when_a_worker_is_idle_and_no_sooner(tmp_path: Path) -> None:
    """So that all results so far count in the choice."""
    run = Run(sweep(), tmp_path)
    run.to_the_end(1, random.Random(0), upto=15)
    assert run.queue.next(idle=False) is None
    pair = [run.queue.next(idle=True), run.queue.next(idle=False)]
    assert {task.trial.label.split()[1] for task in pair if task} == {"bntt", "homeostatic"}
    assert run.queue.next(idle=False) is None


def test_a_trial_that_has_failed_holds_up_its_own_comparison_alone(tmp_path: Path) -> None:
    compare = [{"norm": ["bntt", "homeostatic"]}, {"norm": ["homeostatic", "tebn"]}]
    run = Run(sweep(compare, NORMS[1:], practically_equal=None, at_most=7), tmp_path)
    run.fill(15)
    bad = next(t for t in run.at_work if "tebn" in t.trial.label)
    run.at_work.remove(bad)
    run.queue.fail(bad)
    assert run.to_the_end(1, random.Random(0))
    assert run.by_norm == {"bntt": 7, "homeostatic": 7, "tebn": 4}


def test_a_used_up_budget_stops_what_runs_and_starts_nothing(tmp_path: Path) -> None:
    run = Run(sweep(), tmp_path, hours=1.0)  # an epoch of a quarter of an hour on two cores: 0.5
    run.fill(2)
    run.end(0)
    assert not run.queue.is_over
    run.end(0)
    assert run.queue.is_over
    assert run.queue.next(idle=True) is None
    assert "1 of 1 GPU hours used" in run.queue.summary()


def test_a_family_cannot_change_once_something_is_decided(tmp_path: Path) -> None:
    before = sweep()
    run = Run(before, tmp_path)
    run.to_the_end(1, random.Random(0), upto=15)
    runs = [recorded(trial) for trial in run.ended]
    decided, undecided = (SeedAllocator(before, of).verdicts for of in (runs, []))
    refuse_another_family(sweep(at_most=20, gpu_hours=5), before, decided)
    larger = sweep([*COMPARE, {"norm": ["none", "homeostatic"]}])
    for other in (larger, sweep(COMPARE[:1]), sweep(alpha=0.1)):
        refuse_another_family(other, before, undecided)  # nothing has been looked at
        with pytest.raises(InputError, match="give the sweep another name"):
            refuse_another_family(other, before, decided)
    unfinished = [dataclasses.replace(one, status="KILLED", outcome=None) for one in runs]
    refuse_another_family(larger, before, SeedAllocator(before, unfinished).verdicts)
