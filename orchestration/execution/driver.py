"""Drives a sweep: plans it, trains with Ray Tune and closes its runs. A sweep has one driver."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from orchestration.errors import InputError, SweepError
from orchestration.execution.driver_metrics import FOLDER, DriverMetrics
from orchestration.execution.end_notice import notify_of_end, notify_of_error
from orchestration.execution.ray_process import (
    RayLostError,
    RayProcess,
    Trained,
    TrainingJob,
    is_connected,
)
from orchestration.execution.report_process import (
    importing_meanwhile,
    store_report,
    store_report_later,
)
from orchestration.execution.stall_notice import StallNotice
from orchestration.execution.tally import SweepOutcome, Tally, announce
from orchestration.execution.trials.planning import begun, plan_with
from orchestration.execution.trials.preflight import check_data, check_resources
from orchestration.model.run import PRUNED
from orchestration.progress.events import Event, EventHandler, Note, Sharing
from orchestration.record.spool import read_spool, spooled_run_id
from orchestration.store.base import Held
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec
from services.errors import ServiceError
from services.limits import limits_of
from services.server import Prepared
from services.settings import Settings
from services.tracking import tracking_server

if TYPE_CHECKING:
    from orchestration.record.sweep_recorder import SweepRecorder

_STOPPED = "the sweep was stopped; running its spec again continues this run"
_RAY_LOST = "Ray has ended; running the spec again continues this run"
_USED_UP = "gpu_hours are used up; with more of them, running the spec continues this run"

_RECORD = "orchestration.record.sweep_recorder"

_MOST_LOSSES = 3
"""How often Ray is started again without an epoch of any trial in between."""


class Driver:
    """One run of a sweep, with the arguments of `run_sweep`."""

    def __init__(
        self,
        spec: SweepSpec,
        settings: Settings,
        watch: EventHandler,
        at_end: Callable[[], None],
        *,
        wait_for_report: bool,
    ) -> None:
        self._spec = spec
        self._settings = settings
        self._stall = StallNotice(spec.name, settings, watch)
        self._storage = sweep_storage(settings, spec.name)
        path = settings.home / FOLDER / f"{self._storage.name}.prom"
        self._metrics = DriverMetrics(spec.name, path, self._stall)
        self._tally = Tally(self._metrics)
        self._watch = importing_meanwhile(self._tally) if wait_for_report else self._tally
        self._at_end = at_end
        self._wait_for_report = wait_for_report

    def run(self, ray: RayProcess, prepared: Prepared | None, *, fresh: bool) -> SweepOutcome:
        """Run the sweep to its end; see `run_sweep`.

        Args:
            prepared: a process that can become the tracking server.
        """
        spec, settings = self._spec, self._settings
        check_resources(spec, settings)
        check_data(spec, settings)
        limits_of(settings)  # a wrong file is refused before anything is started
        with sweep_lease(self._storage, spec.name) as lease:
            if not is_connected():
                ray.start(self._watch)
            try:
                return self._run(ray, prepared, lease, fresh=fresh)
            except Exception as error:
                if not lease.lost and not isinstance(error, InputError):  # nothing was started
                    notify_of_error(error, spec.name, settings, self._watch)
                raise

    def _run(
        self, ray: RayProcess, prepared: Prepared | None, lease: Held, *, fresh: bool
    ) -> SweepOutcome:
        spec = self._spec
        self._watch(Note("starting the tracking server and Ray"))
        # MLflow is imported here while the server and Ray start.
        importing = threading.Thread(target=importlib.import_module, args=(_RECORD,), daemon=True)
        importing.start()
        with tracking_server(self._settings, prepared) as uri:
            importing.join()
            from orchestration.record.client import connect
            from orchestration.record.sweep_recorder import SweepRecorder

            recorder = SweepRecorder(connect(uri), spec.name, self._storage)
            self._spec = spec = begun(spec, recorder)
            plan = plan_with(recorder, spec, fresh=fresh)
            announce(plan, self._watch)
            recorder.open(spec)
            if self._settings.notify:
                recorder.mark_notice("due")
            unfinished: list[str] = []
            status = "stopped"
            try:
                with self._stall, self._metrics:
                    trained = self._train(plan, recorder, uri, lease, ray)
                if trained.used_up:
                    unfinished = self._unfinished(recorder)
                if trained.all_ended and self._spec.search is not None:
                    self._mark_pruned(recorder)
                if trained.all_ended and not unfinished:
                    status = "failed" if self._tally.failures else "completed"
            finally:
                if not lease.lost:
                    recorder.close(status)
            if lease.lost:
                raise SweepError(
                    f"another process has taken over sweep {spec.name!r}, as this one had not "
                    f"answered. Follow it with: snn-sweep status {spec.name}"
                )
            outcome = SweepOutcome(
                name=spec.name,
                reused=len(plan.reuse) + len(plan.copy),
                failures=self._tally.failures,
                interrupted=status == "stopped" and not unfinished,
                tracking_uri=uri,
                unfinished=tuple(unfinished),
            )
            self._at_end()
            notify_of_end(outcome, recorder, self._settings, self._watch)
            ray.keep_another(self._watch)
            self._store_report(recorder, uri)
            ray.wait_for_end()
            if status == "completed":  # MLflow has everything; the lease may have waiters
                for trial in self._storage.folders():
                    trial.delete_all()
        return outcome

    def _train(
        self, plan: Plan, recorder: SweepRecorder, uri: str, lease: Held, ray: RayProcess
    ) -> Trained:
        """Train the trials of a plan, and start Ray again if it ends early."""
        spec = self._spec
        _settle(plan, recorder, spec)
        if not self._has_work(plan):
            return Trained(all_ended=True, used_up=False)
        if spec.keep != "none":
            recorder.check_artifacts(spec)
        self._remove_outdated_work(plan, recorder)
        reason = _STOPPED
        try:
            while self._has_work(plan):
                try:
                    trained = self._train_with(ray, self._job(plan, recorder, uri), recorder)
                except RayLostError as lost:
                    reason = _RAY_LOST
                    self._count_loss(str(lost))
                else:
                    reason = _USED_UP if trained.used_up else _STOPPED
                    if not trained.all_ended or not self._draw_next_round(recorder):
                        return trained
                    spec = self._spec
                plan = self._tally.without_failed(plan_with(recorder, spec))
                announce(plan, self._watch)
                _settle(plan, recorder, spec)
            return Trained(all_ended=True, used_up=False)
        except KeyboardInterrupt:
            reason = _STOPPED
            self._watch(Note("stopping at once"))
            return Trained(all_ended=False, used_up=False)
        finally:
            # Ray and all its workers have ended, so nobody else writes to these runs.
            failed = self._tally.failed
            for run in [] if lease.lost else recorder.running():
                if run.trial_key in failed:
                    recorder.close_trial(run, "FAILED", failed[run.trial_key])
                else:
                    recorder.close_trial(run, "KILLED", reason)

    def _draw_next_round(self, recorder: SweepRecorder) -> bool:
        """Record the next settings of a search that follow from recorded ones, if there are any."""
        if self._spec.search is None:
            return False
        before, self._spec = self._spec, begun(self._spec, recorder)
        if self._spec == before:
            return False
        recorder.open(self._spec)
        return True

    def _has_work(self, plan: Plan) -> bool:
        """Whether trials are left to train, or copied results may lead to further trials."""
        return bool(plan.to_train or (plan.copy and self._spec.grows))

    def _train_with(self, ray: RayProcess, job: TrainingJob, recorder: SweepRecorder) -> Trained:
        def watch(event: Event) -> None:
            if isinstance(event, Sharing):
                recorder.mark_waiting(event.text if event.waits else "")
                event = Note(event.text)
            self._watch(event)

        if is_connected():
            from orchestration.execution.train import train

            return train(job, watch)
        return ray.train(job, watch)

    def _count_loss(self, words: str) -> None:
        """Announce that Ray is started again, or raise an error if that is not possible."""
        if address := self._settings.ray_address:
            raise ServiceError(
                f"The Ray cluster at {address} (RAY_ADDRESS) has ended or can no longer be "
                "reached. Run the command again once the cluster runs: trials continue from "
                "their checkpoints."
            )
        self._tally.losses += 1
        if self._tally.losses > _MOST_LOSSES:
            raise ServiceError(
                f"{words}, {self._tally.losses} times without an epoch of any trial in between. "
                "Run the command again once the cause is removed: trials continue from their "
                "checkpoints."
            )
        self._watch(Note(f"{words}: it is started again, trials continue from their checkpoints"))

    def _job(self, plan: Plan, recorder: SweepRecorder, uri: str) -> TrainingJob:
        assert recorder.experiment_id is not None
        assert recorder.parent_run_id is not None
        return TrainingJob(
            spec=self._spec,
            settings=self._settings,
            uri=uri,
            experiment_id=recorder.experiment_id,
            parent_run_id=recorder.parent_run_id,
            plan=plan,
            recorded=tuple(recorder.recorded_for(self._spec)),
            failed=frozenset(self._tally.failed),
        )

    def _unfinished(self, recorder: SweepRecorder) -> list[str]:
        """The labels of trials that are still wanted and have not failed."""
        plan = self._tally.without_failed(plan_with(recorder, self._spec))
        return [trial.label for trial in plan.to_train]

    def _store_report(self, recorder: SweepRecorder, uri: str) -> None:
        name, run_id = self._spec.name, recorder.parent_run_id
        assert run_id is not None
        if self._wait_for_report:
            store_report(self._settings, uri, name, run_id, self._watch)
        else:
            store_report_later(name, run_id, self._watch)

    def _mark_pruned(self, recorder: SweepRecorder) -> None:
        """Record which trials the search has dropped, once it has ended."""
        # Imported here because it loads pandas and scipy.
        from orchestration.execution.trials.search_allocator import SearchAllocator

        recorded = recorder.recorded_for(self._spec)
        pruned = SearchAllocator.of(self._spec, recorded, recorder.tracking_uri).pruned()
        for run in recorded:
            if run.trial_key in pruned and run.status == "KILLED" and run.outcome != PRUNED:
                recorder.mark_pruned(run, pruned[run.trial_key])

    def _remove_outdated_work(self, plan: Plan, recorder: SweepRecorder) -> None:
        """Remove work in progress of runs that this server does not have, or that are replaced.

        Work without a run stays: it was recorded while the server could not be reached.
        """
        new = {trial.key for trial in plan.run}
        if self._spec.grows:  # further trials may be wanted later
            possible = {trial.key for trial in self._spec.possible_trials()}
            new |= possible - {run.trial_key for run in recorder.recorded()}
        for storage in self._storage.folders():
            if storage.name in new:
                entries = read_spool(storage)
                if spooled_run_id(entries) is not None or (plan.replace and entries):
                    storage.delete_all()


def _settle(plan: Plan, recorder: SweepRecorder, spec: SweepSpec) -> None:
    """Close, replace and copy the runs of a plan."""
    for closing in plan.close:
        recorder.close_trial(closing.run, "KILLED", closing.reason)
    for replaced in plan.replace:
        recorder.replace_trial(replaced)
    for trial, run in plan.copy:
        recorder.copy_trial(trial, run, with_model=spec.keep != "none")
