"""A sweep's experiment and runs in MLflow, as its driver keeps them."""

from __future__ import annotations

from pathlib import Path
from statistics import fmean
from typing import Any, cast

import stamina
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestration.client import runs_of_role
from orchestration.contract import (
    EXPERIMENT_TAGS,
    NAME_TAG,
    OUTCOME_TAG,
    ROLE_TAG,
    STATUS_TAG,
    TRIAL_KEY_TAG,
    VERSION_TAG,
    spec_from_tags,
    spec_tags,
)
from orchestration.errors import InputError
from orchestration.plan import RecordedRun
from orchestration.recorder import close_run, deliver
from orchestration.spec import SweepSpec
from orchestration.spool import read_spool, spool_path, spooled_run_id

__all__ = ["SweepBooks"]

_SWEEP_STATUS = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


# Each decorated call may be made again: it looks before it creates.
_insist = stamina.retry(on=MlflowException, attempts=10, timeout=60.0, wait_max=10.0)


class SweepBooks:
    """The books of one sweep. Reading creates nothing.

    A server that does not answer is asked again for up to a minute.

    Args:
        client: MLflow's client.
        name: the sweep's name, which is its experiment's.
        folder: the sweep's own in the checkpoint store, with a folder a trial by its key.

    Raises:
        InputError: the experiment has been deleted in MLflow.
    """

    @_insist
    def __init__(self, client: MlflowClient, name: str, folder: Path) -> None:
        self._client = client
        self._name = name
        self._folder = folder
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise InputError(
                f"the experiment {name!r} has been deleted in MLflow: restore it there, "
                "or give the sweep another name"
            )
        self.experiment_id: str | None = experiment.experiment_id if experiment else None
        self.parent_run_id: str | None = None

    @_insist
    def open(self, spec: SweepSpec) -> None:
        """Make what is missing of experiment and parent run, and mark the sweep as running."""
        if self.experiment_id is None:
            self.experiment_id = self._create_experiment()
        tags = {
            ROLE_TAG: "sweep",
            NAME_TAG: self._name,
            STATUS_TAG: "running",
            **spec_tags(spec.to_json()),
        }
        if parents := self._runs("sweep"):
            self.parent_run_id = parents[0].info.run_id
            self._client.update_run(self.parent_run_id, status="RUNNING")
            for key, value in tags.items():
                self._client.set_tag(self.parent_run_id, key, value)
        else:
            run = self._client.create_run(self.experiment_id, tags=tags, run_name=self._name)
            self.parent_run_id = run.info.run_id

    @_insist
    def close(self, status: str) -> None:
        """Mark the sweep as completed, failed or stopped."""
        assert self.parent_run_id is not None
        self._client.set_tag(self.parent_run_id, STATUS_TAG, status)
        self._client.set_terminated(self.parent_run_id, _SWEEP_STATUS[status])

    def are_closed_for(self, spec: SweepSpec) -> bool:
        """Whether the sweep is recorded as completed, with this very spec."""
        parents = self._runs("sweep")
        return bool(parents) and (
            parents[0].data.tags.get(STATUS_TAG) == "completed"
            and spec_from_tags(parents[0].data.tags) == spec.to_json()
        )

    @_insist
    def recorded(self) -> list[RecordedRun]:
        """The runs of all trials, the earliest started first."""
        return [self._recorded(run) for run in self._runs("trial")]

    @_insist
    def close_trial(self, run: RecordedRun, status: str, reason: str) -> None:
        """End a run without a writer, once all that its trial's spool holds has arrived."""
        entries = self._spooled(run.trial_key)
        if spooled_run_id(entries) == run.run_id:
            deliver(self._client, run.run_id, entries)
        close_run(self._client, run.run_id, status, reason)

    def _spooled(self, trial_key: str) -> list[dict[str, Any]]:
        return read_spool(spool_path(self._folder / trial_key))

    def _create_experiment(self) -> str:
        try:
            return str(self._client.create_experiment(self._name, tags=EXPERIMENT_TAGS))
        except MlflowException:
            # It may be there all the same: the reply was lost, or somebody else was quicker.
            experiment = self._client.get_experiment_by_name(self._name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _runs(self, role: str) -> list[Run]:
        if self.experiment_id is None:
            return []
        return list(runs_of_role(self._client, self.experiment_id, role))

    def _recorded(self, run: Run) -> RecordedRun:
        tags, metrics = run.data.tags, run.data.metrics
        finished = run.info.status == "FINISHED" and OUTCOME_TAG in tags
        if finished:
            # Nothing is left to do in it: a look at the last epoch is enough.
            seconds = [metrics["epoch_seconds"]] if "epoch_seconds" in metrics else []
            epochs_done, resumable = 0, False
        else:
            history = self._client.get_metric_history(run.info.run_id, "epoch_seconds")
            seconds = [point.value for point in history]
            epochs_done = max((point.step for point in history), default=0)
            spooled = self._spooled(tags.get(TRIAL_KEY_TAG, ""))
            resumable = spooled_run_id(spooled) == run.info.run_id
        return RecordedRun(
            run_id=run.info.run_id,
            trial_key=tags.get(TRIAL_KEY_TAG, ""),
            status=cast("Any", run.info.status),
            outcome=tags.get(OUTCOME_TAG),
            epochs_done=epochs_done,
            epoch_seconds=fmean(seconds) if seconds else None,
            version=tags.get(VERSION_TAG),
            resumable=resumable,
        )
