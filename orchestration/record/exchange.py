"""Exports a sweep from one tracking server and imports it into another, without training."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException

from orchestration.errors import InputError
from orchestration.model.counting_runs import runs_that_count
from orchestration.model.run import has_result, was_pruned
from orchestration.record.archive import SweepArchive
from orchestration.record.client import is_refusal, runs_of_role, sweep_names
from orchestration.record.finished_trial import FinishedTrial, read_finished
from orchestration.record.kept_model import MODEL_TAG
from orchestration.record.names import OUTCOME_TAG, STATUS_TAG, TRIAL_KEY_TAG, spec_from_tags
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.record.unknown_sweep import unknown_sweep
from orchestration.store.base import Storage
from orchestration.store.lease import sweep_lease


def export_sweep(client: MlflowClient, name: str) -> SweepArchive:
    """Read a sweep's finished trials, each from the run that counts, and those that were pruned.

    Raises:
        InputError: there is no such sweep.
    """
    experiment = client.get_experiment_by_name(name)
    ids = [] if experiment is None else [experiment.experiment_id]
    parents = list(runs_of_role(client, ids, "sweep"))
    if not parents:
        raise unknown_sweep(name, sweep_names(client))
    runs: dict[str, Run] = {}
    pruned: dict[str, Run] = {}
    for run in runs_of_role(client, ids, "trial"):
        state = run.info.status, run.data.tags.get(OUTCOME_TAG)
        key = run.data.tags.get(TRIAL_KEY_TAG)
        if key is not None and has_result(*state):
            runs[run.info.run_id] = run
        elif key is not None and was_pruned(*state):
            others = (run, pruned[key]) if key in pruned else (run,)
            pruned[key] = max(others, key=lambda other: other.info.start_time)  # as tables do
    counted = runs_that_count(
        (run.data.tags[TRIAL_KEY_TAG], run_id, run.info.start_time, run.info.end_time)
        for run_id, run in runs.items()
    )
    ended = [runs[run_id] for run_id in counted.values()]
    ended += [run for key, run in pruned.items() if key not in counted]
    tags = parents[0].data.tags
    return SweepArchive(
        name=name,
        # A sweep that is running, or whose driver died, is stopped where it is imported.
        status=tags[STATUS_TAG] if tags[STATUS_TAG] in ("completed", "failed") else "stopped",
        spec=spec_from_tags(tags),
        trials=tuple(_read(client, run) for run in ended),
    )


def _read(client: MlflowClient, run: Run) -> FinishedTrial:
    """Read a trial without the tag about its model, as models are not exported."""
    trial = read_finished(client, run)
    tags = {name: text for name, text in trial.tags.items() if name != MODEL_TAG}
    return dataclasses.replace(trial, tags=tags)


@dataclass(frozen=True)
class Imported:
    """What an import did."""

    new: int
    """The number of trials that were written."""
    known: int
    """The number of trials that had ended there."""


def import_sweep(client: MlflowClient, archive: SweepArchive, storage: Storage) -> Imported:
    """Write all trials of an archive that a tracking server lacks, or none of them.

    A sweep that exists there keeps its spec and its status. The call may be repeated: it continues
    an import that was interrupted.

    Args:
        client: MLflow's client of the server.
        archive: the sweep.
        storage: the sweep's folder in the checkpoint store; its lease is held during the import.

    Raises:
        LeaseTakenError: another process runs the sweep.
        InputError: the server refuses a trial. The trials that were written are deleted.
    """
    with sweep_lease(storage, archive.name):
        recorder = SweepRecorder(client, archive.name, storage)
        recorded = recorder.recorded()
        finished = {run.trial_key for run in recorded if run.finished}
        pruned = {run.trial_key for run in recorded if was_pruned(run.status, run.outcome)}
        is_new = recorder.open_for_import(archive.spec)
        new = [
            trial
            for trial in archive.trials
            if trial.key not in (finished | pruned if trial.is_pruned else finished)
        ]
        for trial in new:
            try:
                recorder.add_finished(trial)
            except MlflowException as error:
                if not is_refusal(error):
                    raise
                written = archive.trials if is_new else new
                recorder.withdraw_import({trial.run_id for trial in written}, sweep=is_new)
                raise InputError(
                    f"nothing of {archive.name!r} was imported: MLflow refuses run "
                    f"{trial.run_id} ({error})"
                ) from error
        if is_new:
            recorder.close(archive.status)
    return Imported(len(new), len(archive.trials) - len(new))
