"""Which sweeps there are and how far each has come, as MLflow has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.errors import InputError, SpecError
from orchestration.record.client import runs_of_role
from orchestration.record.names import (
    NAME_TAG,
    OUTCOME_TAG,
    ROLE_TAG,
    STATUS_TAG,
    spec_from_tags,
)
from orchestration.sweep.spec import SweepSpec
from snn_norm.wording import did_you_mean

__all__ = ["SweepOverview", "all_sweeps", "one_sweep"]


@dataclass(frozen=True)
class SweepOverview:
    """How far a sweep has come."""

    name: str
    status: str
    """running, completed, failed or stopped, as its last driver wrote it."""
    started: datetime
    trials: dict[str, int]
    """How many trials of the experiment are in which state: MLflow's, or their outcome."""
    expected: int | None
    """How many trials its spec wants, or without one, there are; None where the spec is none that
    this version can read."""

    @property
    def finished(self) -> int:
        """How many trials have their result."""
        return sum(self.trials.get(state, 0) for state in ("completed", "collapsed", "diverged"))

    @property
    def progress(self) -> str:
        """How many of how many are finished."""
        return f"{self.finished} of {'?' if self.expected is None else self.expected}"


def all_sweeps(client: MlflowClient) -> list[SweepOverview]:
    """Every sweep of a tracking server, the last started first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    parents = client.search_runs(
        experiments, f"tags.`{ROLE_TAG}` = 'sweep'", order_by=["attributes.start_time DESC"]
    )
    return [_overview(client, parent) for parent in parents]


def one_sweep(client: MlflowClient, name: str) -> SweepOverview:
    """The sweep of this name.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    sweeps = {sweep.name: sweep for sweep in all_sweeps(client)}
    if name not in sweeps:
        known = f"known are {', '.join(sweeps)}" if sweeps else "there are none yet"
        raise InputError(f"there is no sweep {name!r}; {known}{did_you_mean(name, sweeps)}")
    return sweeps[name]


def _overview(client: MlflowClient, parent: Run) -> SweepOverview:
    tags = parent.data.tags
    runs = runs_of_role(client, [parent.info.experiment_id], "trial")
    states = Counter(
        run.data.tags.get(OUTCOME_TAG, "finished")
        if run.info.status == "FINISHED"
        else run.info.status.lower()
        for run in runs
    )
    return SweepOverview(
        name=tags[NAME_TAG],
        status=tags[STATUS_TAG],
        started=datetime.fromtimestamp(parent.info.start_time / 1000, UTC),
        trials={str(state): count for state, count in states.items()},
        expected=_wanted(text) if (text := spec_from_tags(tags)) else sum(states.values()),
    )


def _wanted(spec_json: str) -> int | None:
    """How many trials a spec wants. One sweep that cannot say is no reason to hide the others."""
    try:
        spec = SweepSpec.from_json(spec_json)
    except SpecError:
        return None
    return len(spec.cells()) * len(spec.seeds)
