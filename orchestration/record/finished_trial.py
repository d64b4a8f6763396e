"""A trial that has ended, with all that MLflow holds of it: read from a run, written as another.

This copies a trial from one sweep to another, and moves sweeps between servers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestration.model.run import PRUNED
from orchestration.record.curves_file import history
from orchestration.record.names import (
    COPIED_TAG,
    OUTCOME_TAG,
    PARENT_TAG,
    TAG_PREFIX,
    TRIAL_KEY_TAG,
)

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

Point = tuple[str, int, int, float]
"""A metric's name, step, milliseconds since 1970, and value."""


@dataclass(frozen=True)
class FinishedTrial:
    """A trial that has a result, or that its search has pruned.

    Args:
        run_id: the id of the run from which it was read.
        label: the run's name.
        started, ended: milliseconds since 1970.
        params: the run's parameters in MLflow.
        tags: the run's tags that are this project's.
        points: every metric at every step.
    """

    run_id: str
    label: str
    started: int
    ended: int
    params: Mapping[str, str]
    tags: Mapping[str, str]
    points: Sequence[Point]

    @property
    def key(self) -> str:
        """The trial's key."""
        return self.tags[TRIAL_KEY_TAG]

    @property
    def is_pruned(self) -> bool:
        """Whether its search has pruned it, so that it has no result."""
        return self.tags.get(OUTCOME_TAG) == PRUNED


def read_finished(client: MlflowClient, run: Run) -> FinishedTrial:
    """Read a run that has ended, with the whole history of its metrics."""
    info = run.info
    points = history(client, info.experiment_id, info.run_id, run.data.metrics)
    return FinishedTrial(
        run_id=run.info.run_id,
        label=run.info.run_name,
        started=run.info.start_time,
        ended=run.info.end_time,
        params=dict(run.data.params),
        tags={key: text for key, text in run.data.tags.items() if key.startswith(TAG_PREFIX)},
        points=[point[1:] for point in points],
    )


def write_finished(
    client: MlflowClient,
    trial: FinishedTrial,
    experiment_id: str,
    parent_run_id: str,
    last: Callable[[str], object] | None = None,
) -> None:
    """Write a trial as a run of a sweep, with all its parameters, tags and metrics.

    The call may be repeated after an error: it continues the run that it has begun.

    Args:
        client: MLflow's client.
        trial: the trial.
        experiment_id: the sweep's experiment.
        parent_run_id: the sweep's own run.
        last: called with the run's id before the run is marked as ended.
    """
    from mlflow.entities import Metric, Param  # reading an archive does not need MLflow

    tags: dict[str, Any] = {**trial.tags, PARENT_TAG: parent_run_id, COPIED_TAG: trial.run_id}
    # The outcome is written last: a run that has one is complete.
    outcome = tags.pop(OUTCOME_TAG)
    copies = f"tags.`{COPIED_TAG}` = '{trial.run_id}'"
    begun = client.search_runs([experiment_id], copies, max_results=1)
    run = (
        begun[0]
        if begun
        else client.create_run(experiment_id, trial.started, tags, run_name=trial.label)
    )
    run_id = run.info.run_id
    params = [Param(*param) for param in trial.params.items()]
    metrics = [Metric(key, value, time, step) for key, step, time, value in trial.points]
    client.log_batch(run_id, metrics, params)
    if last is not None:
        last(run_id)
    client.set_tag(run_id, OUTCOME_TAG, outcome)
    client.set_terminated(run_id, "KILLED" if trial.is_pruned else "FINISHED", trial.ended)
