"""Decides which trials of a search are wanted, from the results of a running sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from orchestration.execution.trials.seed_allocator import SeedAllocator, TrialResults
from orchestration.model.counting_runs import counting_runs
from orchestration.model.metric import Metric
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.sweep.halving import CellSearch, TrialProgress, cell_search, score
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided

Histories = Mapping[str, Sequence[float]]
"""The values of a metric by epoch, by the id of the run that recorded them."""


def make_allocator(
    spec: SweepSpec, recorded: Sequence[TrialRun], uri: str
) -> SeedAllocator | SearchAllocator | None:
    """What decides about further trials of a sweep; None if its spec says which trials it has."""
    if spec.search is not None:
        return SearchAllocator.of(spec, recorded, uri)
    return SeedAllocator(spec, recorded) if isinstance(spec.seeds, UntilDecided) else None


def histories_at(uri: str, metric: Metric) -> Callable[[Sequence[str]], Histories]:
    """A function that reads the recorded values of a metric of runs on a tracking server."""

    def read(run_ids: Sequence[str]) -> Histories:
        from orchestration.reading.open import open_source  # loads the database's packages

        points = open_source(uri).points(run_ids, [metric.name]) if run_ids else None
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
        read: Callable[[Sequence[str]], Histories],
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
        self._keys = {trial.key for of_cell in both for trials in of_cell for trial in trials}
        self._progress: dict[str, TrialProgress] = {}
        self._paused: set[str] = set()
        self._seeds: SeedAllocator | None = None
        runs = [run for run in recorded if run.trial_key in self._keys]
        super().__init__(runs)
        self._take_progress(runs)

    @classmethod
    def of(cls, spec: SweepSpec, recorded: Iterable[TrialRun], uri: str) -> SearchAllocator:
        """The allocator of a sweep that a tracking server has recorded."""
        assert spec.search is not None
        return cls(spec, recorded, histories_at(uri, spec.search.judged_by()))

    def record(self, key: str, run_id: str, *, has_ended: bool) -> None:
        """Read what the run of a trial has recorded, which has ended or pauses."""
        if not has_ended:
            self._paused.add(key)
        if self._is_of_search(key) and not self._progress.get(key, TrialProgress()).has_ended:
            values = self._read([run_id]).get(run_id, ())
            self._progress[key] = TrialProgress(tuple(values), has_ended)
            self._states = None

    def searches(self) -> list[CellSearch]:
        """Where the search of each cell stands."""
        if self._states is None:
            known, nothing = self._progress, TrialProgress()
            self._states = [
                cell_search(
                    [[known.get(trial.key, nothing) for trial in trials] for trials in of_cell],
                    self._search,
                )
                for of_cell in self._searching
            ]
            for state, of_cell, count in zip(
                self._states, self._searching, self._counts, strict=True
            ):
                if len(of_cell) < count:  # further settings will be drawn
                    state.winner = None
        return self._states

    def scores(self) -> list[list[float | None]]:
        """The score of each setting by cell, larger is better; None before it has ended."""
        nothing, metric = TrialProgress(), self._search.judged_by()
        of_cells = [
            [[self._progress.get(trial.key, nothing) for trial in trials] for trials in of_cell]
            for of_cell in self._searching
        ]
        return [
            [score(its, metric) if all(one.has_ended for one in its) else None for its in of_cell]
            for of_cell in of_cells
        ]

    def pruned(self) -> dict[str, int]:
        """After which epoch each trial was dropped, by its key; trials that ended are not."""
        return {
            trial.key: epoch
            for of_cell, state in zip(self._searching, self.searches(), strict=True)
            for index, epoch in state.pruned.items()
            for trial in of_cell[index]
            if not self._progress.get(trial.key, TrialProgress()).has_ended
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
                    progress = self._progress.get(trial.key, TrialProgress())
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
            all(self._progress.get(t.key, TrialProgress()).has_ended for t in trials)
            for of_cell in self._searching
            for trials in of_cell
        )
        pruned = sum(len(state.pruned) for state in states)
        chosen = sum(state.winner is not None for state in states)
        words = f"search: {tried} of {settings} settings trained"
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

    def _take_progress(self, runs: Sequence[TrialRun]) -> None:
        counted = counting_runs(runs)
        of_search = [run for run in runs if self._is_of_search(run.trial_key)]
        values = self._read([run.run_id for run in of_search])
        for run in of_search:
            its = TrialProgress(tuple(values.get(run.run_id, ())), run.trial_key in counted)
            known = self._progress.get(run.trial_key, TrialProgress())
            is_counted = counted.get(run.trial_key) in (None, run)
            if is_counted and len(its.values) >= len(known.values):
                self._progress[run.trial_key] = its
        for key in counted:
            self._progress.setdefault(key, TrialProgress((), True))

    def _is_of_search(self, key: str) -> bool:
        return key in self._place

    def _winners(self) -> list[list[Trial] | None]:
        """The trials that may confirm each cell's best setting; None while it is not known."""
        return [
            None if state.winner is None else trials[state.winner]
            for trials, state in zip(self._confirming, self.searches(), strict=True)
        ]

    def _confirmed_so_far(self) -> list[Trial]:
        if isinstance(self._spec.seeds, UntilDecided):
            seeds = self._seed_allocator()
            return seeds.wanted() if seeds else []
        return [trial for trials in self._winners() for trial in trials or ()]

    def _seed_allocator(self) -> SeedAllocator | None:
        """What decides about seeds, once every cell has its best setting."""
        if self._seeds is None and isinstance(self._spec.seeds, UntilDecided):
            winners = self._winners()
            if all(trials is not None for trials in winners):
                trials = [trial for of_cell in winners for trial in of_cell or ()]
                self._seeds = SeedAllocator(self._spec, trials=trials, results=self)
        return self._seeds
