"""Records a sweep in MLflow: its experiment, its own run and the runs of its trials."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Literal
from urllib.parse import quote

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestration.errors import InputError
from orchestration.model.run import PRUNED, TrialRun
from orchestration.model.trial import Trial
from orchestration.record.client import MOST_EXPERIMENTS, is_refusal, runs_of_role, sweep_names
from orchestration.record.curves_file import history
from orchestration.record.finished_trial import FinishedTrial, read_finished, write_finished
from orchestration.record.kept_model import MODEL_TAG, KeptModel
from orchestration.record.model_artifact import copy_model, remove_model
from orchestration.record.names import (
    COPIED_TAG,
    EXPERIMENT_TAGS,
    IMPORTING,
    NAME_TAG,
    NOTE_TAG,
    NOTIFY_TAG,
    OUTCOME_TAG,
    OWNER_TAG,
    REASON_TAG,
    REPLACED_ROLE,
    ROLE_TAG,
    STATUS_TAG,
    WAITING_TAG,
    spec_from_tags,
    spec_tags,
)
from orchestration.record.owners import insist, not_yours, owner_tag
from orchestration.record.spool import read_spool, spooled_run_id
from orchestration.record.trial_recorder import RefusedError, close_run, deliver
from orchestration.record.trial_run import read_trial_run
from orchestration.record.unknown_sweep import renamed_sweep
from orchestration.store.base import Storage
from orchestration.sweep.recorded_spec import readable_spec, spec_fields
from orchestration.sweep.runs_without_key import with_trial_keys
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from services.errors import ServiceError
from services.tracking import has_pages

_SWEEP_STATUS = {"completed": "FINISHED", "failed": "FAILED", "stopped": "KILLED"}


class SweepRecorder:
    """Records one sweep. Methods that read create nothing.

    Requests that fail are retried for up to a minute.

    Args:
        client: MLflow's client.
        name: the name of the sweep and of its experiment.
        storage: the sweep's folder in the checkpoint store; each trial's folder in it has its key.

    Raises:
        InputError: the experiment has been deleted in MLflow, or renamed; or the tracking server
            does not let this user have it. The methods that write raise this as well.
    """

    @insist
    def __init__(self, client: MlflowClient, name: str, storage: Storage) -> None:
        self._client = client
        self._name = name
        self._storage = storage
        self.experiment_id: str | None = None
        self.parent_run_id: str | None = None
        experiment = client.get_experiment_by_name(name)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise InputError(
                f"the experiment {name!r} has been deleted in MLflow: restore it there, "
                "or give the sweep another name"
            )
        if experiment is None and (renamed := renamed_sweep(name, sweep_names(client))):
            raise InputError(renamed)
        self.experiment_id = experiment.experiment_id if experiment else None

    @property
    def tracking_uri(self) -> str:
        """The address of the tracking server that has the record."""
        return str(self._client.tracking_uri)

    @insist
    def open(self, spec: SweepSpec) -> None:
        """Create the experiment and the sweep's run if they are missing; mark it as running."""
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
            if parents[0].data.tags.get(WAITING_TAG):  # its last driver has died
                tags[WAITING_TAG] = ""
            self._client.update_run(self.parent_run_id, status="RUNNING")
            for key, value in tags.items():
                self._client.set_tag(self.parent_run_id, key, value)
        else:
            tags |= _note(self._client.tracking_uri, self._name) | owner_tag()
            run = self._client.create_run(self.experiment_id, tags=tags, run_name=self._name)
            self.parent_run_id = run.info.run_id

    @insist
    def open_for_import(self, spec_json: str | None) -> bool:
        """Create the experiment and the sweep's run if they are missing, and change neither.

        Returns:
            Whether the sweep is new, or its import was interrupted.
        """
        if self.experiment_id is None:
            self.experiment_id = self._create_experiment()
        if parents := self._runs("sweep"):
            self.parent_run_id = parents[0].info.run_id
            return bool(parents[0].data.tags.get(STATUS_TAG) == IMPORTING)
        tags = {ROLE_TAG: "sweep", NAME_TAG: self._name, STATUS_TAG: IMPORTING}
        tags |= owner_tag() | (spec_tags(spec_json) if spec_json else {})
        run = self._client.create_run(self.experiment_id, tags=tags, run_name=self._name)
        self.parent_run_id = run.info.run_id
        return True

    @insist
    def close(self, status: str) -> None:
        """Mark the sweep as completed, failed or stopped."""
        assert self.parent_run_id is not None
        self._client.set_tag(self.parent_run_id, STATUS_TAG, status)
        self._client.set_terminated(self.parent_run_id, _SWEEP_STATUS[status])

    def mark_waiting(self, words: str) -> None:
        """Record what the sweep waits for; empty if for nothing. For `list` and `status`."""
        assert self.parent_run_id is not None
        with suppress(MlflowException):  # the sweep does not need it, and its log has the words
            self._client.set_tag(self.parent_run_id, WAITING_TAG, words)

    def notice_is_due(self) -> bool:
        """Whether a notification of the end of the sweep's last run is due."""
        return self._tags().get(NOTIFY_TAG) == "due"

    @insist
    def mark_notice(self, state: Literal["due", "done"]) -> None:
        """Record that a notification of the sweep's end is due, or has been sent."""
        (sweep, *_) = self._runs("sweep")
        self._client.set_tag(sweep.info.run_id, NOTIFY_TAG, state)

    @property
    def has_no_owner(self) -> bool:
        """Whether the sweep has begun without a login, or by a version that recorded no owner."""
        return any(OWNER_TAG not in run.data.tags for run in self._runs("sweep")[:1])

    @insist
    def check_writable(self) -> None:
        """Write what is recorded again, to see whether the tracking server lets this user write.

        Nothing is written if the sweep is new or has no owner.

        Raises:
            InputError: it does not.
        """
        for sweep in self._runs("sweep")[:1]:
            if OWNER_TAG in sweep.data.tags:
                self._client.set_tag(sweep.info.run_id, NAME_TAG, sweep.data.tags[NAME_TAG])

    def not_yours(self) -> InputError:
        """The error for a sweep that the tracking server does not let this user have."""
        owner = ""
        with suppress(MlflowException):  # this user may not even read it
            owner = self._tags().get(OWNER_TAG, "")
        return not_yours(self._name, owner)

    def are_closed_for(self, spec: SweepSpec) -> bool:
        """Whether the sweep is recorded as completed with exactly this spec."""
        tags = self._tags()
        if tags.get(STATUS_TAG) != "completed":
            return False
        return spec_fields(spec_from_tags(tags)) == spec_fields(spec.to_json())

    def spec(self) -> SweepSpec | None:
        """The spec of the sweep's last run; None if there is none that this version can read."""
        return readable_spec(spec_from_tags(self._tags()))

    def _tags(self) -> dict[str, str]:
        return dict(parents[0].data.tags) if (parents := self._runs("sweep")) else {}

    @insist
    def recorded(self) -> list[TrialRun]:
        """The runs of all trials, the earliest started first."""
        return [self._recorded(run) for run in self._runs("trial")]

    @insist
    def running(self) -> list[TrialRun]:
        """The runs of trials that have not ended in MLflow, without what is in their spools."""
        return [read_trial_run(run) for run in self._runs("trial", "RUNNING")]

    def recorded_for(self, spec: SweepSpec) -> list[TrialRun]:
        """The runs of all trials, judged by a spec's metric, with trial keys that were lost.

        Raises:
            SpecError: a run has lost its key, and the user's own code cannot be imported.
        """
        return self.judged(with_trial_keys(self.recorded(), spec), spec)

    @insist
    def metrics_of(self, run_id: str) -> list[str]:
        """The names of the metrics that a run has recorded."""
        return sorted(self._client.get_run(run_id).data.metrics)

    @insist
    def judged(self, runs: Iterable[TrialRun], spec: SweepSpec) -> list[TrialRun]:
        """Runs with their best value of a spec's metric, if its seeds depend on that.

        With the user's own training code the best value is searched in all epochs, as the spec may
        have had another metric when a run was recorded.
        """
        if not (spec.kind.metric_may_change and isinstance(spec.seeds, UntilDecided)):
            return list(runs)
        metric = spec.judged_by()

        def best(run: TrialRun) -> float | None:
            assert self.experiment_id is not None
            points = history(self._client, self.experiment_id, run.run_id, [metric.name])
            values = [value for *_, value in sorted(points, key=lambda point: point[2])]
            index = metric.best(values)
            return None if index is None else float(values[index])

        return [dataclasses.replace(run, best=best(run)) if run.finished else run for run in runs]

    @insist
    def close_trial(self, run: TrialRun, status: str, reason: str) -> None:
        """End an abandoned run, after sending the records in its trial's spool.

        If MLflow refuses the records, the run ends as FAILED with that reason.
        """
        entries = self._spooled(run.trial_key)
        if spooled_run_id(entries) == run.run_id:
            try:
                deliver(self._client, run.run_id, entries)
            except MlflowException as error:
                if not is_refusal(error):
                    raise
                status, reason = "FAILED", str(RefusedError.of(error))
        close_run(self._client, run.run_id, status, reason)

    @insist
    def mark_pruned(self, run: TrialRun, epoch: int) -> None:
        """Record that a search has dropped a trial, whose run has been closed."""
        self._client.set_tag(run.run_id, REASON_TAG, f"pruned by its search after epoch {epoch}")
        self._client.set_tag(run.run_id, OUTCOME_TAG, PRUNED)

    @insist
    def finished_elsewhere(self, trial_keys: Collection[str]) -> list[TrialRun]:
        """Finished runs of these trials in other sweeps, found by their trial keys."""
        experiments = self._client.search_experiments(max_results=MOST_EXPERIMENTS)
        others = [e.experiment_id for e in experiments if e.experiment_id != self.experiment_id]
        runs = map(read_trial_run, runs_of_role(self._client, others, "trial"))
        return [run for run in runs if run.finished and run.trial_key in trial_keys]

    @insist
    def copy_trial(self, trial: Trial, run: TrialRun, *, with_model: bool) -> None:
        """Copy a finished run of another sweep into this sweep, with all that it holds.

        Args:
            trial: the trial in this sweep.
            run: its finished run in the other sweep.
            with_model: whether its model is copied too, if it has one.
        """
        client, source = self._client, run.run_id
        finished = read_finished(client, client.get_run(source))
        tags = dict(finished.tags)
        model = KeptModel.from_tag(tags.pop(MODEL_TAG)) if MODEL_TAG in tags else None

        def copy(run_id: str) -> None:
            assert model is not None
            is_copied = model.epoch is None or copy_model(client, source, run_id)
            lost = KeptModel(missing="the run that this one was copied from had lost it")
            client.set_tag(run_id, MODEL_TAG, (model if is_copied else lost).to_tag())

        finished = dataclasses.replace(finished, label=trial.label, tags=tags)
        self.add_finished(finished, copy if with_model and model is not None else None)

    @insist
    def add_finished(
        self, trial: FinishedTrial, last: Callable[[str], object] | None = None
    ) -> None:
        """Write a finished trial as a run of this sweep, or continue a run that was begun.

        Args:
            trial: the trial.
            last: called with the run's id before the run is marked as finished.
        """
        assert self.experiment_id is not None
        assert self.parent_run_id is not None
        write_finished(self._client, trial, self.experiment_id, self.parent_run_id, last)

    @insist
    def withdraw_import(self, run_ids: Collection[str], *, sweep: bool) -> None:
        """Delete what an import has written.

        Args:
            run_ids: the ids of the trials' runs in the archive.
            sweep: whether the sweep's own run is deleted too.
        """
        for run in self._runs("trial"):
            if run.data.tags.get(COPIED_TAG) in run_ids:
                self._client.delete_run(run.info.run_id)
        for run in self._runs("sweep") if sweep else ():
            self._client.delete_run(run.info.run_id)

    @insist
    def replace_trial(self, run: TrialRun) -> None:
        """Take a run out of the sweep, as its trial is run again.

        The run stays in MLflow; its model is deleted.
        """
        if MODEL_TAG in self._client.get_run(run.run_id).data.tags:
            remove_model(self._client, run.run_id)
            self._client.delete_tag(run.run_id, MODEL_TAG)
        self._client.set_tag(run.run_id, REASON_TAG, "replaced: its trial was run again (--fresh)")
        self._client.set_tag(run.run_id, ROLE_TAG, REPLACED_ROLE)

    def check_artifacts(self, spec: SweepSpec) -> None:
        """Check that models can be stored, by storing the spec as an artifact of the sweep's run.

        Raises:
            ServiceError: they cannot be stored.
        """
        try:
            self._put_spec(spec)
        except Exception as error:
            raise ServiceError(
                "no artifacts can be stored on this tracking server, where the trained models are "
                f"to be kept: {' '.join(str(error).split())}. Repair the artifact store, or set "
                "keep: none in the spec to run without models"
            ) from error

    @insist
    def _put_spec(self, spec: SweepSpec) -> None:
        assert self.parent_run_id is not None
        self._client.log_text(self.parent_run_id, spec.to_json() + "\n", "spec.json")

    def _spooled(self, trial_key: str) -> list[dict[str, Any]]:
        return read_spool(self._storage.folder(trial_key))

    def _create_experiment(self) -> str:
        try:
            return str(self._client.create_experiment(self._name, tags=EXPERIMENT_TAGS))
        except MlflowException:
            # It may exist by now: the reply was lost, or somebody else has created it.
            experiment = self._client.get_experiment_by_name(self._name)
            if experiment is None:
                raise
            return str(experiment.experiment_id)

    def _runs(self, role: str, status: str | None = None) -> list[Run]:
        if self.experiment_id is None:
            return []
        return list(runs_of_role(self._client, [self.experiment_id], role, status))

    def _recorded(self, run: Run) -> TrialRun:
        recorded = read_trial_run(run)
        if recorded.finished:
            return recorded
        # The spool holds as much as the server, which would need one request per run.
        spooled = self._spooled(recorded.trial_key)
        if spooled_run_id(spooled) != run.info.run_id:
            return recorded
        epochs = [entry["step"] for entry in spooled if "step" in entry]
        return dataclasses.replace(recorded, epochs_done=max(epochs, default=0), resumable=True)


def _note(tracking_uri: str, name: str) -> dict[str, str]:
    """The description of a sweep's run in MLflow: a link to the sweep's page, if there is one."""
    if not tracking_uri.startswith("http") or not has_pages(tracking_uri):
        return {}
    return {NOTE_TAG: f"[Cells and seeds, live](/sweeps/{quote(name, safe='')})"}
