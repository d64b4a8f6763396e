"""Decides which trials of a search are wanted, from the results of a running sweep."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import fmean

from orchestration.execution.trials.seed_allocator import SeedAllocator, TrialResults
from orchestration.model.counting_runs import counting_runs
from orchestration.model.durations import possible_seconds
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.sweep.halving import CellSearch, TrialProgress, cell_search, score
from orchestration.sweep.search_hours import RoundTimes, with_bought
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from orchestration.sweep.tpe import with_next_round

Histories = Mapping[str, Sequence[float]]
"""The values of a metric by epoch, by the id of the run that recorded them."""

Reader = Callable[[Sequence[str]], Histories]
"""Reads the values of a metric of runs, which are given by their ids."""


def make_allocator(
    spec: SweepSpec, recorded: Sequence[TrialRun], uri: str
) -> SeedAllocator | SearchAllocator | None:
    """What decides about further trials of a sweep; None if its spec says which trials it has."""
    if spec.search is not None:
        return SearchAllocator.of(spec, recorded, uri)
    return SeedAllocator(spec, recorded) if isinstance(spec.seeds, UntilDecided) else None


def histories_at(uri: str, metric: str) -> Reader:
    """A function that reads the recorded values of a metric of runs on a tracking server."""

    def read(run_ids: Sequence[str]) -> Histories:
        from orchestration.reading.open import open_source  # loads the database's packages

        points = open_source(uri).points(run_ids, [metric]) if run_ids else None
        if points is None:
            return {}
        in_order = points.sort_values(["run_id", "epoch"]).groupby("run_id")["value"]
        return {str(run_id): values.tolist() for run_id, values in in_order}

    return read


class SearchAllocator(TrialResults):
    """Collects the results of trials, and decides which trials are wanted.

    Args:
        read: reads the values of the metric that chooses settings, of runs by their ids.
    """

    def __init__(
        self,
        spec: SweepSpec,
        recorded: Iterable[TrialRun],
        read: Reader,
    ) -> None:
        assert spec.search is not None
        self._spec = spec
        self._search = spec.search
        self._read = read
        self._counts = spec.setting_counts()
        n_search = self._search.seeds
        both = spec.setting_trials((*self._search.seed_list(), *spec.seed_order()))
        self._searching = [[trials[:n_search] for trials in of_cell] for of_cell in both]
        self._confirming = [[trials[n_search:] for trials in of_cell] for of_cell in both]
        self._place = {
            trial.key: (cell, index)
            for cell, of_cell in enumerate(self._searching)
            for index, trials in enumerate(of_cell)
            for trial in trials
        }
        self._states: list[CellSearch] | None = None
        self._progress: dict[str, TrialProgress] = {}
        self._run_ids: dict[str, str] = {}
        self._paused: set[str] = set()
        self._seeds: SeedAllocator | None = None
        keys = {trial.key for of_cell in both for trials in of_cell for trial in trials}
        runs = [run for run in recorded if run.trial_key in keys]
        super().__init__(runs)
        self._take_progress(runs)

    @classmethod
    def of(cls, spec: SweepSpec, recorded: Iterable[TrialRun], uri: str) -> SearchAllocator:
        """The allocator of a sweep that a tracking server has recorded."""
        assert spec.search is not None
        return cls(spec, recorded, histories_at(uri, spec.search.judged_by().name))

    def record(self, key: str, run_id: str, *, has_ended: bool) -> None:
        """Read what the run of a trial has recorded, which has ended or pauses."""
        if not has_ended:
            self._paused.add(key)
        if key in self._place and not self._progress_of(key).has_ended:
            values = self._read([run_id]).get(run_id, ())
            self._progress[key] = TrialProgress(tuple(values), has_ended)
            self._states = None

    def searches(self) -> list[CellSearch]:
        """Where the search of each cell stands."""
        if self._states is None:
            self._states = [
                cell_search(self._progress_in(cell), self._search)
                for cell in range(len(self._searching))
            ]
            for cell, state in enumerate(self._states):
                if self._has_more(cell):
                    state.ranking = ()
        return self._states

    def scores(self) -> list[list[float | None]]:
        """The score of each setting by cell, larger is better; None before it has ended."""
        metric = self._search.judged_by()
        return [
            [
                score(its, metric) if all(one.has_ended for one in its) else None
                for its in self._progress_in(cell)
            ]
            for cell in range(len(self._searching))
        ]

    def with_further_settings(self, read: Reader) -> SweepSpec:
        """The spec with settings that follow from the results; the same spec if there are none.

        Args:
            read: reads the seconds of the epochs of runs.
        """
        cells = range(len(self._searching))
        is_measuring = self._search.is_measuring
        times = [self._times_of(cell, read) if is_measuring(cell) else None for cell in cells]
        further = with_bought(self._spec, times)
        if further == self._spec and self._search.sampler == "tpe":
            return with_next_round(self._spec, self.scores())
        return further

    def unmeasured(self) -> str | None:
        """The run of a completed trial that has no value of the metric that chooses settings."""
        for key, (_, outcome) in self._ended.items():
            if key in self._place and outcome == "completed" and not self._progress[key].values:
                return self._run_ids[key]
        return None

    def pruned(self) -> dict[str, int]:
        """After which epoch each trial was dropped, by its key; trials that ended are not."""
        return {
            trial.key: epoch
            for of_cell, state in zip(self._searching, self.searches(), strict=True)
            for index, epoch in state.pruned.items()
            for trial in of_cell[index]
            if not self._progress_of(trial.key).has_ended
        }

    def target(self, key: str) -> int | None:
        """The epoch after which a trial of the search pauses; None if it trains to its end."""
        if key not in self._place:
            return None
        cell, index = self._place[key]
        return self.searches()[cell].target.get(index)

    def wanted(self) -> list[Trial]:
        """All trials that are wanted so far, including ended ones."""
        to_train, ended = [], []
        for of_cell, state in zip(self._searching, self.searches(), strict=True):
            for index, trials in enumerate(of_cell):
                for trial in trials:
                    progress = self._progress_of(trial.key)
                    if progress.has_ended:
                        ended.append(trial)
                    elif index in state.target and not progress.has_reached(state.target[index]):
                        to_train.append(trial)
        return [*ended, *to_train, *self._confirmed_so_far()]

    def next(self, given: Iterable[str] = ()) -> list[Trial]:
        """The trials to start or continue next; empty if there are none at the moment."""
        seeds = self._seed_allocator()
        there = {*given, *self._ended, *self._failed} - self._paused
        trials = [trial for trial in self.wanted() if trial.key not in there]
        self._paused -= {trial.key for trial in trials}
        return trials or (seeds.next(given) if seeds else [])

    def next_decision(self) -> str:
        """The progress of the search and of the comparisons, in words."""
        states = self.searches()
        settings = sum(self._counts)
        tried = sum(
            all(trial.has_ended for trial in of_setting)
            for cell in range(len(states))
            for of_setting in self._progress_in(cell)
        )
        pruned = sum(len(state.pruned) for state in states)
        chosen = sum(state.winner is not None for state in states)
        at_least = "at least " * any(map(self._search.is_measuring, range(len(states))))
        words = f"search: {tried} of {at_least}{settings} settings trained"
        words += f", {pruned} pruned" if self._search.prune else ""
        words += f", {chosen} of {len(states)} cells have their best"
        return " · ".join(filter(None, (words, self._seeds.next_decision() if self._seeds else "")))

    def decided(self) -> dict[str, str]:
        """How many comparisons of each cell are decided, by the label of its best setting."""
        return self._seeds.decided() if self._seeds else {}

    def verdicts(self) -> list[str]:
        """The verdict of each comparison, in words; empty for one that is undecided."""
        if seeds := self._seed_allocator():
            return seeds.verdicts()
        return [""] * len(self._spec.comparisons())

    def not_needed(self) -> int:
        """How many trials were run ahead that no decision needed."""
        return self._seeds.not_needed() if self._seeds else 0

    def _has_more(self, cell: int) -> bool:
        """Whether a cell will have further settings."""
        is_short = len(self._searching[cell]) < self._counts[cell]  # tpe will draw the others
        return is_short or self._search.is_measuring(cell)

    def _times_of(self, cell: int, read: Reader) -> RoundTimes | None:
        """The recorded times of a cell's first round; None before it has ended."""
        progress = self._progress_in(cell)
        if cell_search(progress, self._search).winner is None:
            return None
        trials = [trial for of_setting in self._searching[cell] for trial in of_setting]
        values = read([self._run_ids[t.key] for t in trials if t.key in self._run_ids]).values()
        first_pruning = self._search.prune.at[0] if self._search.prune else None
        seconds = [possible_seconds(one) for its in values for one in its[:first_pruning]]
        possible = [one for one in seconds if one is not None]
        longest = max(len(trial.values) for its in progress for trial in its)
        return RoundTimes(
            epochs=trials[0].config.epochs or longest,
            epoch_seconds=fmean(possible) if possible else math.inf,
        )

    def _progress_of(self, key: str) -> TrialProgress:
        """How far a trial is."""
        return self._progress.get(key, TrialProgress())

    def _progress_in(self, cell: int) -> list[list[TrialProgress]]:
        """How far the trials of each setting of a cell are."""
        return [
            [self._progress_of(trial.key) for trial in trials] for trials in self._searching[cell]
        ]

    def _take_progress(self, runs: Sequence[TrialRun]) -> None:
        counted = counting_runs(runs)
        of_search = [run for run in runs if run.trial_key in self._place]
        values = self._read([run.run_id for run in of_search])
        for run in of_search:
            its = TrialProgress(tuple(values.get(run.run_id, ())), run.trial_key in counted)
            known = self._progress_of(run.trial_key)
            is_counted = counted.get(run.trial_key) in (None, run)
            if is_counted and len(its.values) >= len(known.values):
                self._progress[run.trial_key] = its
                self._run_ids[run.trial_key] = run.run_id
        for key in counted:
            self._progress.setdefault(key, TrialProgress((), True))

    def _winners(self) -> list[list[Trial] | None]:
        """The trials that may confirm each cell's best setting; None while it is not known."""
        return [
            None if state.winner is None else trials[state.winner]
            for trials, state in zip(self._confirming, self.searches(), strict=True)
        ]

    def _confirmed_so_far(self) -> list[Trial]:
        if isinstance(self._spec.seeds, UntilDecided):
            seeds = self._seed_allocator()
            of_best = seeds.wanted() if seeds else []
        else:
            of_best = [trial for trials in self._winners() for trial in trials or ()]
        return of_best + self._beside_the_best()

    def _beside_the_best(self) -> list[Trial]:
        """The trials of the next best settings, which are confirmed but decide nothing."""
        assert self._spec.confirm is not None
        certain = len(self._spec.certain_seeds())
        return [
            trial
            for settings, state in zip(self._confirming, self.searches(), strict=True)
            for index in state.ranking[1 : self._spec.confirm.settings]
            for trial in settings[index][:certain]
        ]

    def _seed_allocator(self) -> SeedAllocator | None:
        """What decides about seeds, once every cell has its best setting."""
        if self._seeds is None and isinstance(self._spec.seeds, UntilDecided):
            winners = self._winners()
            if all(trials is not None for trials in winners):
                trials = [trial for of_cell in winners for trial in of_cell or ()]
                self._seeds = SeedAllocator(self._spec, trials=trials, results=self)
        return self._seeds
