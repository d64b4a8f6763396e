"""Finds and deletes what no sweep needs any more in the checkpoint store.

    for found in look_through(client, settings, delete=False): ...

A trial's work is needed until its run is finished, or until its sweep is completed. Work is deleted
only if the tracking server knows its run: several servers may share a checkpoint store, and work
that was recorded while the server was away has no run yet. A sweep that runs is left alone, and
while its leftovers are deleted no driver can start it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field

from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage, Run, ViewType

from orchestration.cluster.bundle import forget, kept_size
from orchestration.model.sweep_name import is_sweep_name
from orchestration.record.client import MOST_EXPERIMENTS, all_runs
from orchestration.record.names import ROLE_TAG, STATUS_TAG
from orchestration.record.spool import read_spool, spooled_run_id
from orchestration.store.base import Storage
from orchestration.store.lease import LeaseTakenError, holder, report_writer, sweep_lease
from orchestration.store.open import open_storage, sweep_storage
from services.settings import Settings

RUN_FINISHED = "their runs are finished"
RUN_DELETED = "their runs have been deleted in MLflow"
SWEEP_COMPLETED = "the sweep is completed"
SWEEP_DELETED = "the sweep has been deleted in MLflow"


@dataclass
class SweepFolder:
    """A sweep's folder in the checkpoint store, and what of it no sweep needs.

    Attributes:
        name: the sweep's name, or the folder's if the tracking server does not know the sweep.
        size: the bytes of everything in the folder.
        is_known: whether the tracking server knows the sweep.
        busy: who runs the sweep or writes its report; None if nobody does. It was left alone.
        trials: how many trials' work is not needed, by the reason.
        sizes: the bytes of what is not needed, by the reason.
    """

    name: str
    size: int
    is_known: bool = True
    busy: str | None = None
    trials: Counter[str] = field(default_factory=Counter)
    sizes: Counter[str] = field(default_factory=Counter)


def look_through(
    client: MlflowClient, settings: Settings, *, delete: bool
) -> Iterator[SweepFolder]:
    """Look through the checkpoint store, sweep by sweep."""
    experiments = {
        sweep_storage(settings, experiment.name).name: experiment
        for experiment in client.search_experiments(ViewType.ALL, max_results=MOST_EXPERIMENTS)
        if is_sweep_name(experiment.name)
    }
    for storage in open_storage(settings.storage).folders():
        experiment = experiments.get(storage.name)
        if experiment is None:
            yield SweepFolder(storage.name, storage.size(), is_known=False)
            continue
        found = SweepFolder(experiment.name, storage.size())
        busy = holder(storage) or report_writer(storage)
        try:
            if busy is None:
                with sweep_lease(storage, found.name) if delete else nullcontext():
                    _look_at(client, experiment, storage, found, delete=delete)
        except LeaseTakenError:  # a driver has just started
            busy = holder(storage)
        found.busy = None if busy is None else str(busy)
        yield found


def deleted_runs(client: MlflowClient) -> int:
    """The number of runs that were deleted in MLflow and are still in its database."""
    experiments = client.search_experiments(ViewType.ALL, max_results=MOST_EXPERIMENTS)
    ids = [experiment.experiment_id for experiment in experiments]
    return sum(1 for _ in all_runs(client, ids, view=ViewType.DELETED_ONLY))


def _look_at(
    client: MlflowClient,
    experiment: Experiment,
    storage: Storage,
    found: SweepFolder,
    *,
    delete: bool,
) -> None:
    """Find what is not needed in the folder of a sweep, and delete it if that is wanted."""
    runs = {
        run.info.run_id: run
        for run in all_runs(client, [experiment.experiment_id], view=ViewType.ALL)
    }
    sweeps = [run for run in runs.values() if run.data.tags.get(ROLE_TAG) == "sweep"]
    is_completed = any(run.data.tags.get(STATUS_TAG) == "completed" for run in sweeps)
    is_all_known = True
    for trial in storage.folders():
        run = runs.get(spooled_run_id(read_spool(trial)) or "")
        is_all_known &= run is not None
        reason = None if run is None else why_not_needed(run, is_completed=is_completed)
        if reason is not None:
            found.trials[reason] += 1
            found.sizes[reason] += trial.size()
            if delete:
                trial.delete_all()
    is_deleted = experiment.lifecycle_stage == LifecycleStage.DELETED
    if is_deleted and is_all_known and (size := kept_size(storage)):
        found.sizes[SWEEP_DELETED] += size
        if delete:
            forget(storage)


def why_not_needed(run: Run, *, is_completed: bool) -> str | None:
    """Why the work on a trial with this run is not needed; None if it is. Pure."""
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        return RUN_DELETED
    if run.info.status == "FINISHED":
        return RUN_FINISHED
    return SWEEP_COMPLETED if is_completed else None
