"""Which sweeps there are and how far each has come, as MLflow has it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration.errors import SpecError
from orchestration.record.client import MOST_EXPERIMENTS, runs_of_role, sweep_names
from orchestration.record.names import OUTCOME_TAG, ROLE_TAG, STATUS_TAG, spec_from_tags
from orchestration.record.unknown_sweep import unknown_sweep
from orchestration.sweep.spec import SweepSpec

__all__ = ["SweepOverview", "all_sweeps", "one_sweep"]


@dataclass(frozen=True)
class SweepOverview:
    """How far a sweep has come."""

    name: str
    status: str
    """running, completed, failed or stopped, as its last driver wrote it; incomplete where it was
    completed and runs have been deleted since."""
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
    def missing(self) -> int:
        """How many trials have no result, as far as that is known."""
        return max((self.expected or 0) - self.finished, 0)

    @property
    def progress(self) -> str:
        """How many of how many are finished."""
        return f"{self.finished} of {'?' if self.expected is None else self.expected}"


def all_sweeps(client: MlflowClient) -> list[SweepOverview]:
    """Every sweep of a tracking server, the last started first."""
    experiments = client.search_experiments(max_results=MOST_EXPERIMENTS)
    names = {experiment.experiment_id: experiment.name for experiment in experiments}
    parents = client.search_runs(
        list(names), f"tags.`{ROLE_TAG}` = 'sweep'", order_by=["attributes.start_time DESC"]
    )
    return [_overview(client, parent, names[parent.info.experiment_id]) for parent in parents]


def one_sweep(client: MlflowClient, name: str) -> SweepOverview:
    """The sweep of this name.

    Raises:
        InputError: there is none; the message lists those that are.
    """
    sweeps = {sweep.name: sweep for sweep in all_sweeps(client)}
    if name not in sweeps:
        raise unknown_sweep(name, sweep_names(client))
    return sweeps[name]


def _overview(client: MlflowClient, parent: Run, name: str) -> SweepOverview:
    tags = parent.data.tags
    runs = runs_of_role(client, [parent.info.experiment_id], "trial")
    states = Counter(
        run.data.tags.get(OUTCOME_TAG, "finished")
        if run.info.status == "FINISHED"
        else run.info.status.lower()
        for run in runs
    )
    wanted = _wanted(text) if (text := spec_from_tags(tags)) else sum(states.values())
    overview = SweepOverview(
        name=name,
        status=tags[STATUS_TAG],
        started=datetime.fromtimestamp(parent.info.start_time / 1000, UTC),
        trials={str(state): count for state, count in states.items()},
        expected=wanted,
    )
    if overview.status == "completed" and overview.missing:
        return replace(overview, status="incomplete")
    return overview


def _wanted(spec_json: str) -> int | None:
    """How many trials a spec wants. One sweep that cannot say is no reason to hide the others."""
    try:
        spec = SweepSpec.from_json(spec_json)
    except SpecError:
        return None
    return len(spec.cells()) * len(spec.seeds)
