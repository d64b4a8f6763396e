"""Allocates seeds until comparisons are decided, from the results of a running sweep."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence

import pandas as pd

from orchestration.errors import InputError
from orchestration.model.counting_runs import counting_runs
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.results.deciding.allocation import (
    Allocation,
    names_of,
    next_allocation,
    not_needed,
    seeds_wanted,
    verdicts_in_words,
)
from orchestration.results.deciding.forecast import Forecast, forecast
from orchestration.results.deciding.hours import hours_unit, trial_hours
from orchestration.results.deciding.state import DecisionState, decision_state
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided


class TrialResults:
    """What trials have reported so far, by their keys.

    Args:
        runs: the recorded runs of the trials.
    """

    def __init__(self, runs: Sequence[TrialRun]) -> None:
        counted = counting_runs(runs)
        self._ended = {key: (run.best, run.outcome or "") for key, run in counted.items()}
        self._failed: set[str] = set()
        self._seconds = {
            run.trial_key: run.epoch_seconds for run in runs if run.epoch_seconds is not None
        }

    def time(self, key: str, epoch_seconds: float) -> None:
        """Note how long an epoch of a trial took."""
        self._seconds[key] = epoch_seconds

    def take(self, key: str, outcome: str, best: float | None) -> None:
        """Note a trial's result; if there are several, the first counts."""
        self._ended.setdefault(key, (best, outcome))

    def fail(self, key: str) -> None:
        """Note that a trial has failed and will have no result."""
        self._failed.add(key)


class SeedAllocator(TrialResults):
    """Collects the results of trials, and decides which trials are wanted.

    Args:
        trials: the trials of all seeds of each cell, cell by cell; default: those of the spec. A
            search gives those of each cell's best setting.
        results: the results so far; default: those of the recorded runs. They may grow.
    """

    def __init__(
        self,
        spec: SweepSpec,
        recorded: Iterable[TrialRun] = (),
        trials: Sequence[Trial] | None = None,
        results: TrialResults | None = None,
    ) -> None:
        self._spec = spec
        self._order = spec.seed_order()
        n = len(self._order)
        trials = spec.possible_trials() if trials is None else trials
        self.possible = {trial.key: trial for trial in trials}
        self._of_cell = [trials[first : first + n] for first in range(0, len(trials), n)]
        self._place = {trial.key: (i // n, trial.config.seed) for i, trial in enumerate(trials)}
        super().__init__([run for run in recorded if run.trial_key in self._place])
        if results is not None:
            self._ended, self._failed = results._ended, results._failed
            self._seconds = results._seconds
        self._n_decided_from = -1
        self._state: tuple[DecisionState, dict[int, pd.DataFrame]]

    def wanted(self) -> list[Trial]:
        """All trials that are wanted so far, including ended ones; earlier seeds come first."""
        counts = seeds_wanted(self._spec, *self._now(), failed=self._places(self._failed))
        wanted = [
            (number, trial)
            for trials, count in zip(self._of_cell, counts, strict=True)
            for number, trial in enumerate(trials[:count])
        ]
        return [trial for _, trial in sorted(wanted, key=lambda numbered: numbered[0])]

    def next(self, given: Iterable[str] = ()) -> list[Trial]:
        """The trials to start next, the longest first; empty if there are none at the moment.

        Args:
            given: the keys of trials that have been started.
        """
        allocation = self._allocation({*given, *self._ended})
        numbers = {seed: number for number, seed in enumerate(self._order)}
        trials = allocation.trials if allocation else ()
        return [self._of_cell[cell][numbers[seed]] for cell, seed in trials]

    def next_decision(self) -> str:
        """Which comparison is tested next, and after how many seeds, in words."""
        allocation = self._allocation(self._ended)
        if allocation is None:
            return ""
        name = names_of(self._spec, self._now()[0])[allocation.comparison]
        rule = self._spec.seeds
        assert isinstance(rule, UntilDecided)
        seeds = max(allocation.pair, rule.at_least)
        return f"next decision: {name} after {seeds} of at most {rule.at_most} seeds"

    def decided(self) -> dict[str, str]:
        """How many comparisons of each cell are decided, such as ``1 of 2``, by its label."""
        now, _ = self._now()
        decided: dict[str, str] = {}
        for cell, trials in enumerate(self._of_cell):
            verdicts = [
                verdict
                for comparison, verdict in zip(now.comparisons, now.verdicts, strict=True)
                if cell in comparison.cells
            ]
            if verdicts:
                decided[trials[0].cell_label] = f"{sum(map(bool, verdicts))} of {len(verdicts)}"
        return decided

    def verdicts(self) -> list[str]:
        """The verdict of each comparison, in words; empty for one that is undecided."""
        return verdicts_in_words(self._spec, self._now()[0])

    def forecast(self) -> Forecast:
        """The forecast of the whole sweep's trials and hours."""
        return forecast(self._spec, self._now()[0], self._hours(), hours_unit(self._spec))

    def not_needed(self) -> int:
        """How many trials were run ahead that no decision needed."""
        return not_needed(self._spec, *self._now())

    def _allocation(self, given: Iterable[str]) -> Allocation | None:
        return next_allocation(
            self._spec,
            self._now()[0],
            self._hours(),
            given=self._places(given),
            failed=self._places(self._failed),
        )

    def _hours(self) -> list[float] | None:
        outcomes = {key: outcome for key, (_, outcome) in self._ended.items()}
        return trial_hours(
            self._spec,
            (
                (self._place[key][0], seconds, outcomes.get(key))
                for key, seconds in self._seconds.items()
                if key in self._place
            ),
        )

    def _places(self, keys: Iterable[str]) -> set[tuple[int, int]]:
        return {self._place[key] for key in keys if key in self._place}

    def _now(self) -> tuple[DecisionState, dict[int, pd.DataFrame]]:
        if self._n_decided_from != len(self._ended):  # results are added, and never change
            rows: list[list[tuple[int, float | None, str]]] = [[] for _ in self._of_cell]
            for key, result in self._ended.items():
                if key in self._place:
                    cell, seed = self._place[key]
                    rows[cell].append((seed, *result))
            columns = ["seed", self._spec.judged_by().best_name, "outcome"]
            by_cell = {
                cell: pd.DataFrame(of_cell, columns=columns).set_index("seed")
                for cell, of_cell in enumerate(rows)
            }
            self._state = decision_state(self._spec, by_cell), by_cell
            self._n_decided_from = len(self._ended)
        return self._state


def refuse_another_family(
    spec: SweepSpec, before: SweepSpec, verdicts: Callable[[], Iterable[str]]
) -> None:
    """Refuse to decide comparisons by other rules once some are decided.

    Args:
        spec: the spec to run.
        before: the spec of the sweep's last run, which has seeds until decided.
        verdicts: gives the verdict of each of its comparisons, like ``SeedAllocator.verdicts``.

    Raises:
        InputError: something is decided, and ``compare``, ``metric`` or the rule in ``seeds`` has
            changed.
    """
    if _family(spec) == _family(before):
        return
    decided = [words for words in verdicts() if words]
    if decided:
        raise InputError(
            f"{spec.name}: compare, metric and the rule in seeds are declared before the first "
            f"trial, and cannot change once something is decided ({decided[0]}): the error rate "
            "would no longer hold. Leave them as they were, or give the sweep another name: it "
            "starts with seeds of its own"
        )


def _family(spec: SweepSpec) -> tuple[object, ...]:
    """What decisions depend on: the compared pairs, the metric, and the rule without its limits."""
    rule = spec.seeds
    if not isinstance(rule, UntilDecided):
        return ()
    limits = {"gpu_hours"} if rule.method == "spending" else {"gpu_hours", "at_most"}
    cells = [json.dumps(cell.given(), sort_keys=True) for cell in spec.cells()]
    pairs = {frozenset((cells[c.first], cells[c.second])) for c in spec.comparisons()}
    declared = {**rule.model_dump(exclude=limits), "assume": rule.assumes}
    search = None if spec.search is None else spec.search.model_dump_json()
    return pairs, spec.judged_by(), declared, search
