"""An overview of all recorded sweeps and their progress."""

from __future__ import annotations

import functools
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from orchestration.model.run import OUTCOMES, PRUNED
from orchestration.model.trial import trial_keys
from orchestration.reading.records import MlflowRun, Source
from orchestration.record.names import (
    NAME_TAG,
    OUTCOME_TAG,
    ROLE_TAG,
    STATUS_TAG,
    TRIAL_KEY_TAG,
    spec_from_tags,
)
from orchestration.record.unknown_sweep import unknown_sweep
from orchestration.sweep.recorded_spec import readable_spec
from orchestration.sweep.search_cost import search_cost
from snn_norm.references import is_reference


@dataclass(frozen=True)
class SweepOverview:
    """The progress of a sweep."""

    name: str
    recorded_as: str
    """The sweep's first name, which differs if its experiment was renamed in MLflow."""
    status: str
    """running, completed, failed or stopped, as its last driver wrote it; incomplete if it was
    completed and runs have been deleted since."""
    started: datetime
    trials: dict[str, int]
    """The number of trials by state, which is their outcome or MLflow's status."""
    finished: int
    """The number of trials with a result that the spec wants; of all if that is unknown."""
    not_wanted: int
    """The number of other trials with a result, which an earlier spec wanted."""
    expected: int | None
    """The number of trials that the spec wants, or of all trials if there is no spec. With seeds
    until decided, these are the certain ones and those that were started. None if this version
    cannot read the spec."""

    spec: str | None
    """The canonical JSON of the newest spec; None if none is recorded."""

    @property
    def missing(self) -> int:
        """The number of wanted trials without a result, if it is known; otherwise 0."""
        return max((self.expected or 0) - self.finished, 0)

    @property
    def progress(self) -> str:
        """The finished and the expected number of trials, in words."""
        if self.expected is not None and self.finished > self.expected:
            # Only the user's own code can tell which of them the spec wants.
            return f"{self.finished}, {self.expected} wanted"
        return f"{self.finished} of {'?' if self.expected is None else self.expected}"


def all_sweeps(source: Source) -> list[SweepOverview]:
    """Every sweep, the last started first."""
    return overviews_of(source.sweep_runs())


def overviews_of(runs: Iterable[MlflowRun]) -> list[SweepOverview]:
    """The sweeps to which these runs belong, the last started first."""
    parents: list[MlflowRun] = []
    trials: dict[str, Counter[str]] = defaultdict(Counter)
    keys: dict[str, list[str | None]] = defaultdict(list)
    for run in runs:
        if run.tags[ROLE_TAG] == "sweep":
            parents.append(run)
        else:
            outcome = run.tags.get(OUTCOME_TAG, "finished")
            has_ended = run.status == "FINISHED" or (run.status, outcome) == ("KILLED", PRUNED)
            state = outcome if has_ended else run.status.lower()
            trials[run.experiment][state] += 1
            if state in OUTCOMES:
                keys[run.experiment].append(run.tags.get(TRIAL_KEY_TAG))
    parents.sort(key=lambda run: run.started or 0, reverse=True)
    return [
        _overview(parent, trials[parent.experiment], keys[parent.experiment]) for parent in parents
    ]


def one_sweep(source: Source, name: str) -> SweepOverview:
    """The sweep of this name.

    Raises:
        InputError: there is none; the message lists those that exist.
    """
    sweeps = {sweep.name: sweep for sweep in all_sweeps(source)}
    if name not in sweeps:
        raise unknown_sweep(name, {sweep.name: sweep.recorded_as for sweep in sweeps.values()})
    return sweeps[name]


def _overview(parent: MlflowRun, states: Counter[str], keys: Sequence[str | None]) -> SweepOverview:
    text = spec_from_tags(parent.tags)
    wanted = _keys_of(text) if text else None
    overview = SweepOverview(
        name=parent.experiment,
        recorded_as=parent.tags.get(NAME_TAG, parent.experiment),
        status=parent.tags[STATUS_TAG],
        started=datetime.fromtimestamp((parent.started or 0) / 1000, UTC),
        trials=dict(states),
        # Trials without a key were recorded before there were keys.
        finished=len(keys) if wanted is None else len(wanted.intersection(keys)) + keys.count(None),
        not_wanted=0 if wanted is None else len({*keys} - {*wanted, None}),
        expected=_wanted(text, parent.tags[STATUS_TAG], states) if text else states.total(),
        spec=text,
    )
    if overview.status == "completed" and overview.missing:
        return replace(overview, status="incomplete")
    return overview


@functools.lru_cache(maxsize=256)
def _keys_of(spec_json: str) -> frozenset[str] | None:
    """The keys of the trials that a spec wants; None if they need the user's own code."""
    spec = readable_spec(spec_json)
    if spec is None:
        return None
    cells = spec.cells()
    if any(is_reference(str(value)) for cell in cells for value in cell.given().values()):
        return None
    if spec.search is not None:
        return frozenset(trial.key for trial in spec.possible_trials())
    return frozenset(key for cell in cells for key in trial_keys(cell, spec.seed_order()))


def _wanted(spec_json: str, status: str, states: Counter[str]) -> int | None:
    """The number of trials that a spec wants; None if this version cannot read the spec."""
    spec = readable_spec(spec_json)
    if spec is None:
        return None
    certain = len(spec.cells()) * len(spec.certain_seeds())
    if spec.search is not None:
        certain += search_cost(spec).finished
    if not spec.grows:
        return certain
    begun = states if status != "completed" else {name: states[name] for name in OUTCOMES}
    return max(certain, sum(begun.values()))
