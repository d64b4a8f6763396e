"""Makes tasks for workers from a sweep's plan, with their resources and their budget of hours.

Torch and the database's packages are imported only where they are needed, as they take seconds.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path

from orchestration.execution.ray_process import TrainingJob
from orchestration.execution.trials.trial_queue import Budget, resources_of
from orchestration.execution.worker.task import TrialTask
from orchestration.model.durations import possible_seconds
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress.events import EventHandler
from orchestration.results.deciding.hours import hours_unit
from orchestration.store.open import sweep_storage
from orchestration.sweep.plan import Plan, make_plan
from orchestration.sweep.stopping import UntilDecided
from services.limits import limits_of

_PATIENCE = 15 * 60.0
"""The seconds that the end of a trial waits for an unreachable tracking server."""

_Wanted = tuple[Trial, TrialRun | None]
"""A trial, and the run in which it continues."""


class TaskMaker:
    """Makes tasks of the trials of a training job.

    Args:
        pause_after: the epoch after which the trial with a key pauses; None if it does not.
    """

    def __init__(
        self, job: TrainingJob, pause_after: Callable[[str], int | None] = lambda _key: None
    ) -> None:
        self._job = job
        self._pause_after = pause_after
        self._spec = job.spec
        self._storage = sweep_storage(job.settings, job.spec.name)
        self._driver = uuid.uuid4().hex
        self._share: Callable[[TrialTask], TrialTask] = lambda task: task

    def share_gpus(self, plan: Plan, watch: EventHandler) -> None:
        """With ``gpu: auto``, measure how many trials fit on a GPU. Ray must be running.

        Args:
            plan: the trials to measure; all possible trials are measured if more may be wanted.
        """
        if self._spec.resources.gpu == "auto":
            from orchestration.execution.trials.gpu_share import share_gpus

            grows = self._spec.grows or self._spec.gpu_hours
            self._share = share_gpus(self.of(self._all_possible() if grows else plan), watch)

    def of(self, plan: Plan) -> list[TrialTask]:
        """The tasks of a plan's trials, the longest first."""
        wanted: list[_Wanted] = [*((trial, None) for trial in plan.run), *plan.resume]
        return [self._task(*pair) for pair in sorted(wanted, key=_cost, reverse=True)]

    def budget(self, recorded: Sequence[TrialRun]) -> Budget:
        """The budget of the sweep or what is left of its user's limit, whichever is less."""
        of_spec, limit = self._budget_of_spec(recorded), limits_of(self._job.settings).gpu_hours
        if limit is None or not self._spec.resources.gpu_count:
            return of_spec
        from orchestration.reading.open import open_source
        from orchestration.reading.summaries import all_sweeps

        user, sweeps = self._job.settings.user, all_sweeps(open_source(self._job.uri))
        left = limit - sum(one.hours for one in sweeps if one.on_gpu and one.owner == user)
        if of_spec.left <= left:
            return of_spec
        whose = f", all that {user or 'each user'} has left of {limit:g}; whoever keeps the cluster"
        return Budget(max(0.0, left), whose=f"{whose} can raise this limit")

    def _budget_of_spec(self, recorded: Sequence[TrialRun]) -> Budget:
        """The sweep's budget, with the hours that its recorded runs have used."""
        seeds = self._spec.seeds
        hours = seeds.gpu_hours if isinstance(seeds, UntilDecided) else self._spec.gpu_hours
        if hours is None:
            return Budget(None)
        from orchestration.reading.open import open_source

        run_ids = [run.run_id for run in recorded]
        points = open_source(self._job.uri).points(run_ids, ["epoch_seconds"])
        seconds = points["value"].map(possible_seconds).groupby(points["run_id"]).sum()
        tasks = self.of(self._all_possible())
        reserved = {task.trial.key: resources_of(task) for task in tasks}
        # Trials that are no longer wanted count as having reserved one GPU or core.
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
            gpu=resources.gpu_count,
            import_path=str(Path.cwd()),
            patience=_PATIENCE,
            driver=self._driver,
            keep=self._spec.keep,
            checkpoint_seconds=60 * self._spec.checkpoint_minutes,
            pause_after=self._pause_after(trial.key),
            login=self._job.settings.login,
        )
        return self._share(task)

    def _all_possible(self) -> Plan:
        """A plan that runs every trial that the spec may want."""
        return make_plan(self._spec.possible_trials(), (), version="")


def _cost(wanted: _Wanted) -> float:
    """The relative cost of the rest of a trial."""
    trial, interrupted = wanted
    done = interrupted.epochs_done if interrupted else 0
    epochs = trial.config.epochs  # None: the user's code decides, so the number is unknown
    return (1 if epochs is None else epochs - done) * trial.config.epoch_cost
