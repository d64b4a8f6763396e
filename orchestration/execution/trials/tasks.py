"""Tasks for workers out of a sweep's plan, what they reserve, and the hours that they may use."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestration.execution.ray_process import TrainingJob
from orchestration.execution.trials.gpu_share import share_gpus
from orchestration.execution.trials.trial_queue import Budget, resources_of
from orchestration.execution.worker.trial import TrialTask
from orchestration.model.epoch_seconds import possible_seconds
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress.events import EventHandler
from orchestration.reading.open import open_source
from orchestration.results.deciding.hours import hours_unit
from orchestration.store.open import sweep_storage
from orchestration.sweep.plan import Plan, make_plan
from orchestration.sweep.stopping import UntilDecided

_PATIENCE = 15 * 60.0
"""Seconds that the end of a trial waits for a tracking server that is away."""

_Wanted = tuple[Trial, TrialRun | None]
"""A trial, and the run that it goes on in."""


class TaskMaker:
    """Makes tasks of the trials of a training job."""

    def __init__(self, job: TrainingJob) -> None:
        self._job = job
        self._spec = job.spec
        self._storage = sweep_storage(job.settings, job.spec.name)
        self._driver = uuid.uuid4().hex
        self._share: Callable[[TrialTask], TrialTask] = lambda task: task

    def share_gpus(self, plan: Plan, watch: EventHandler) -> None:
        """With ``gpu: auto``, measure how many of the trials find room on a GPU. Ray must be there.

        Args:
            plan: what is run, unless the spec may come to want more.
            watch: told what was measured.
        """
        if self._spec.resources.gpu == "auto":
            grows = isinstance(self._spec.seeds, UntilDecided) or self._spec.gpu_hours
            self._share = share_gpus(self.of(self._all_possible() if grows else plan), watch)

    def of(self, plan: Plan) -> list[TrialTask]:
        """The tasks of a plan's trials, those that take the longest first."""
        wanted: list[_Wanted] = [
            *((trial, None) for trial in plan.run),
            *plan.resume,
        ]
        return [self._task(*one) for one in sorted(wanted, key=_cost, reverse=True)]

    def budget(self, recorded: Sequence[TrialRun]) -> Budget:
        """What the sweep may use, less what its runs have used by the record."""
        seeds = self._spec.seeds
        hours = seeds.gpu_hours if isinstance(seeds, UntilDecided) else self._spec.gpu_hours
        if hours is None:
            return Budget(None)
        run_ids = [run.run_id for run in recorded]
        points = open_source(self._job.uri).points(run_ids, ["epoch_seconds"])
        known = points["value"].map(possible_seconds)
        seconds = known.groupby(points["run_id"]).sum()
        tasks = self.of(self._all_possible())
        reserved = {task.trial.key: resources_of(task) for task in tasks}
        # Of a trial that is wanted no longer nothing else is known.
        used = [seconds.get(run.run_id, 0.0) * reserved.get(run.trial_key, 1.0) for run in recorded]
        return Budget(hours, sum(used) / 3600, hours_unit(self._spec))

    def _task(self, trial: Trial, interrupted: TrialRun | None) -> TrialTask:
        resources = self._spec.resources
        task = TrialTask(
            trial=trial,
            experiment_id=self._job.experiment_id,
            parent_run_id=self._job.parent_run_id,
            run_id=interrupted.run_id if interrupted else None,
            storage=self._storage.folder(trial.key),
            data=self._job.settings.data,
            tracking_uri=self._job.uri,
            cpu=resources.cpu,
            gpu=1.0 if resources.gpu == "auto" else resources.gpu,
            import_path=str(Path.cwd()),
            patience=_PATIENCE,
            driver=self._driver,
            keep=self._spec.keep,
        )
        return self._share(task)

    def _all_possible(self) -> Plan:
        """To run every trial that the spec might come to want."""
        spec = self._spec
        trials = spec.trials([len(spec.seed_order())] * len(spec.cells()))
        return make_plan(trials, (), version="")


def _cost(wanted: _Wanted) -> float:
    """How long what is left of a trial takes, in no unit."""
    trial, interrupted = wanted
    done = interrupted.epochs_done if interrupted else 0
    epochs = trial.config.epochs  # as many as it wants: nobody knows
    return (1 if epochs is None else epochs - done) * trial.config.epoch_cost
