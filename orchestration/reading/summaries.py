"""Summaries of all recorded sweeps: their progress, hours and best values."""

from __future__ import annotations

import functools
import math
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from orchestration.model.durations import EPOCH_SECONDS, possible_seconds, trained_seconds
from orchestration.model.metric import Metric
from orchestration.model.run import OUTCOMES, was_pruned
from orchestration.model.trial import trial_keys
from orchestration.record.names import (
    LABEL_TAG,
    NAME_TAG,
    OUTCOME_TAG,
    OWNER_TAG,
    ROLE_TAG,
    STATUS_TAG,
    TRIAL_KEY_TAG,
    WAITING_TAG,
    spec_from_tags,
)
from orchestration.record.unknown_sweep import unknown_sweep
from orchestration.sweep.recorded_spec import (
    gpus_of_a_trial,
    readable_spec,
    recorded_metric,
    search_seeds,
)
from orchestration.sweep.search_cost import search_cost
from snn_norm.references import is_reference

if TYPE_CHECKING:  # pandas, which `list` and `status` do not need if a server answers them
    from orchestration.reading.records import MlflowRun, Source


@dataclass(frozen=True)
class SweepSummary:
    """The progress of a sweep, and what it has cost and reached so far."""

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
    hours: float
    """The estimated hours of training of all trials; GPU hours if ``on_gpu``."""
    impossible: int
    """How many runs have an impossible time of an epoch, which is left out of hours."""
    on_gpu: bool
    """Whether its trials reserve GPUs."""
    metric: Metric
    """The metric by which its trials are judged."""
    best: float | None
    """The best value of the metric; None before there is one. Trials of a search do not count."""
    best_of: str
    """The label of the trial with the best value."""
    waiting: str = ""
    """What it waits for while it shares a cluster with other sweeps; empty if for nothing."""
    owner: str = ""
    """The user who began it, as the tracking server names them; empty if that is not recorded."""

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

    @property
    def best_text(self) -> str:
        """The best value, and its metric's name unless it is an accuracy; empty before any."""
        if self.best is None:
            return ""
        name = "" if self.metric.is_fraction else f" {self.metric.name}"
        return f"{self.metric.text(self.best)}{name}"


SUMMARIES = TypeAdapter(list[SweepSummary])
"""Writes and reads them as JSON, with every digit."""


def all_sweeps(source: Source) -> list[SweepSummary]:
    """Every sweep, the last started first."""
    return some_sweeps(source, None)


def some_sweeps(source: Source, names: Collection[str] | None) -> list[SweepSummary]:
    """The sweeps of these names, or all, the last started first."""
    return _summaries(source.sweep_runs(_metrics_to_read, names))


def one_sweep(source: Source, name: str) -> SweepSummary:
    """The sweep of this name."""
    return named_sweep(some_sweeps(source, [name]) or all_sweeps(source), name)


def named_sweep(sweeps: Sequence[SweepSummary], name: str) -> SweepSummary:
    """The first of these that was started and has this name.

    Raises:
        InputError: there is none; the message lists those that exist.
    """
    found = [sweep for sweep in sweeps if sweep.name == name]
    if not found:
        raise unknown_sweep(name, {sweep.name: sweep.recorded_as for sweep in sweeps})
    return found[-1]


def _summaries(runs: Iterable[MlflowRun]) -> list[SweepSummary]:
    parents: list[MlflowRun] = []
    trials: dict[str, list[MlflowRun]] = defaultdict(list)
    for run in runs:
        if run.tags[ROLE_TAG] == "sweep":
            parents.append(run)
        else:
            trials[run.experiment].append(run)
    parents.sort(key=lambda run: run.started or 0, reverse=True)
    return [_summary(parent, trials[parent.experiment]) for parent in parents]


def _metrics_to_read(parent: MlflowRun) -> Collection[str]:
    return EPOCH_SECONDS, recorded_metric(spec_from_tags(parent.tags)).best_name


def _summary(parent: MlflowRun, trials: Sequence[MlflowRun]) -> SweepSummary:
    spec, status = spec_from_tags(parent.tags), parent.tags[STATUS_TAG]
    states = [_state(run) for run in trials]
    counts = Counter(states)
    keys = [
        run.tags.get(TRIAL_KEY_TAG)
        for run, state in zip(trials, states, strict=True)
        if state in OUTCOMES
    ]
    wanted = _keys_of(spec) if spec else None
    hours, impossible = _hours(trials)
    gpus, metric = gpus_of_a_trial(spec), recorded_metric(spec)
    best, best_of = _best(trials, metric, search_seeds(spec))
    summary = SweepSummary(
        name=parent.experiment,
        recorded_as=parent.tags.get(NAME_TAG, parent.experiment),
        status=status,
        waiting=parent.tags.get(WAITING_TAG, "") if status == "running" else "",
        owner=parent.tags.get(OWNER_TAG, ""),
        started=datetime.fromtimestamp((parent.started or 0) / 1000, UTC),
        trials=dict(sorted(counts.items())),
        # Trials without a key were recorded before there were keys.
        finished=len(keys) if wanted is None else len(wanted.intersection(keys)) + keys.count(None),
        not_wanted=0 if wanted is None else len({*keys} - {*wanted, None}),
        expected=_wanted(spec, status, counts) if spec else counts.total(),
        hours=hours * (gpus or 1.0),
        impossible=impossible,
        on_gpu=bool(gpus),
        metric=metric,
        best=best,
        best_of=best_of,
    )
    if status == "completed" and summary.missing:
        return replace(summary, status="incomplete")
    return summary


def _state(run: MlflowRun) -> str:
    outcome = run.tags.get(OUTCOME_TAG, "finished")
    has_ended = run.status == "FINISHED" or was_pruned(run.status, outcome)
    return outcome if has_ended else run.status.lower()


def _hours(trials: Iterable[MlflowRun]) -> tuple[float, int]:
    """The hours of training of all trials, and the number of those with an impossible time."""
    hours, impossible = [], 0
    for run in trials:
        epochs, recorded = run.metrics.get(EPOCH_SECONDS, (0, 0.0))
        seconds = possible_seconds(recorded)
        impossible += seconds is None
        span = ((run.ended or math.inf) - (run.started or 0)) / 1000
        hours.append(trained_seconds(epochs, seconds or 0.0, span) / 3600)
    return math.fsum(hours), impossible  # the same in whatever order they were read


def _best(
    trials: Iterable[MlflowRun], metric: Metric, of_search: Iterable[int]
) -> tuple[float | None, str]:
    """The best value of the finished trials outside a search, and the label of its trial."""
    tried = tuple(f" seed {seed}" for seed in of_search)
    judged = [
        (metric.sign * run.metrics[metric.best_name][1], run.tags.get(LABEL_TAG, ""))
        for run in trials
        if run.status == "FINISHED" and metric.best_name in run.metrics
    ]
    value, label = max((one for one in judged if not one[1].endswith(tried)), default=(None, ""))
    return None if value is None else metric.sign * value, label


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
        cost = search_cost(spec)
        certain = cost.finished + cost.confirmed_at_least
    if not spec.grows:
        return certain
    begun = states if status != "completed" else {name: states[name] for name in OUTCOMES}
    return max(certain, sum(begun.values()))
