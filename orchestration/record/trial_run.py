"""Reads a recorded run of a trial from MLflow."""

from __future__ import annotations

from typing import Any, cast

from mlflow.entities import Run

from orchestration.model.run import TrialRun
from orchestration.record.names import (
    BEST_TEST_ACCURACY,
    OUTCOME_TAG,
    TRIAL_KEY_TAG,
    VERSION_TAG,
)


def read_trial_run(run: Run) -> TrialRun:
    """The run as MLflow has it, without the epochs and checkpoints of its spool."""
    tags = run.data.tags
    return TrialRun(
        run_id=run.info.run_id,
        trial_key=tags.get(TRIAL_KEY_TAG, ""),
        status=cast("Any", run.info.status),
        outcome=tags.get(OUTCOME_TAG),
        epochs_done=_last_epoch(run),
        epoch_seconds=run.data.metrics.get("epoch_seconds"),
        version=tags.get(VERSION_TAG),
        resumable=False,
        best=run.data.metrics.get(BEST_TEST_ACCURACY),
        started=run.info.start_time,
        ended=run.info.end_time,
        params=run.data.params,
    )


def _last_epoch(run: Run) -> int:
    """The step of the last recorded epoch; 0 before the first."""
    # MLflow has no public access to the steps that it sends with a run's last values.
    steps = [metric.step for metric in run.data._metric_objs if metric.key == "epoch_seconds"]
    return max(steps, default=0)
