"""Drives a sweep: plan, Ray Tune, runs closed. One live driver a sweep."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib.metadata import version

from orchestration.errors import SweepError
from orchestration.execution.outcome import SweepOutcome, announce
from orchestration.execution.trials.feed import SweepFeed
from orchestration.execution.trials.planning import plan_with
from orchestration.execution.trials.preflight import check_data, check_resources
from orchestration.execution.trials.seeds import SeedBuyer, refuse_another_family
from orchestration.execution.trials.tasks import TaskMaker
from orchestration.execution.tune import run_tasks
from orchestration.execution.worker.trial import TrialTask
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress.events import Added, Note, Watch
from orchestration.record.client import connect
from orchestration.record.spool import read_spool, spooled_run_id
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.report.write import log_report
from orchestration.store.base import Held
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from orchestration.sweep.plan import Plan, make_plan
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from services.cluster import ray_meanwhile
from services.settings import Settings
from services.tracking import home_database, tracking_server

__all__ = ["Driver"]

_STOPPED = "the sweep was stopped; running its spec again goes on with this run"
_USED_UP = "gpu_hours are used up; with more of them, running the spec goes on with this run"


class Driver:
    """One run of a sweep.

    Args:
        spec: what is wanted.
        settings: of this machine.
        watch: told of what happens.
    """

    def __init__(self, spec: SweepSpec, settings: Settings, watch: Watch) -> None:
        self._spec = spec
        self._settings = settings
        self._watch = watch
        self._storage = sweep_storage(settings, spec.name)
        self._labels: dict[str, str] = {}

    def run(self, *, fresh: bool) -> SweepOutcome:
        """Run it to its end: see `run_sweep`."""
        spec, settings = self._spec, self._settings
        check_resources(spec, settings)
        check_data(spec, settings)
        with (
            sweep_lease(self._storage, spec.name) as lease,
            ray_meanwhile(settings) as ray,
            tracking_server(settings) as uri,
        ):
            recorder = SweepRecorder(connect(uri), spec.name, self._storage)
            if (before := recorder.spec()) and isinstance(before.seeds, UntilDecided):
                refuse_another_family(spec, before, recorder.recorded_for(before))
            plan = plan_with(recorder, spec, fresh=fresh)
            announce(plan, self._watch)
            recorder.open(spec)
            failures: dict[str, str] = {}
            unfinished: list[str] = []
            status = "stopped"
            try:
                for closing in plan.close:
                    recorder.close_trial(closing.run, "KILLED", closing.reason)
                for replaced in plan.replace:
                    recorder.replace_trial(replaced)
                for trial, run in plan.copy:
                    recorder.copy_trial(trial, run, with_model=spec.keep != "none")
                failures, all_ended, used_up = self._train(plan, recorder, uri, lease, ray)
                if used_up:
                    unfinished = self._unfinished(recorder, failures)
                if all_ended and not unfinished:
                    status = "failed" if failures else "completed"
            finally:
                if not lease.lost:
                    recorder.close(status)
            if lease.lost:
                raise SweepError(
                    f"another process has taken over sweep {spec.name!r}, as this one had not "
                    f"answered. Follow it with: snn-sweep status {spec.name}"
                )
            self._log_report(recorder, uri)
            if status == "completed":
                self._remove_work_in_progress()
        interrupted = status == "stopped" and not unfinished
        return SweepOutcome(
            name=spec.name,
            reused=len(plan.reuse) + len(plan.copy),
            failures={self._labels[key]: reason for key, reason in failures.items()},
            interrupted=interrupted,
            tracking_uri=uri,
            unfinished=tuple(unfinished),
        )

    def _train(
        self,
        plan: Plan,
        recorder: SweepRecorder,
        uri: str,
        lease: Held,
        ray: AbstractContextManager[None],
    ) -> tuple[dict[str, str], bool, bool]:
        """Why trials failed, by key; whether none is left to run; whether the budget is used up."""
        spec, until_decided = self._spec, isinstance(self._spec.seeds, UntilDecided)
        if not plan.run and not plan.resume and not (plan.copy and until_decided):
            return {}, True, False
        if spec.keep != "none":
            recorder.check_artifacts(spec)
        recorded = recorder.recorded_for(spec)
        buyer = SeedBuyer(spec, recorded) if until_decided else None
        self._forget_other_runs(plan, recorded, buyer)
        failures: dict[str, str] = {}
        all_ended = used_up = False
        try:
            with ray, _sigterm_as_ctrl_c():
                tasks = TaskMaker(spec, self._settings, recorder, uri)
                tasks.share_gpus(plan, self._watch)
                budget = tasks.budget(recorded)

                def more(trials: Sequence[Trial]) -> list[TrialTask]:
                    further = make_plan(trials, recorded, version=version("snn-norm"))
                    self._watch(Added(further))
                    return self._make(tasks, further)

                first = self._make(tasks, _certain(plan, spec) if buyer else plan)
                feed = SweepFeed(first, budget, buyer, more, self._watch)
                failures, all_ended = run_tasks(feed, spec.retries, self._watch)
                used_up = feed.is_over
                if told := feed.summary():
                    self._watch(Note(told))
        except KeyboardInterrupt:
            self._watch(Note("stopping at once"))
        finally:
            reason = _USED_UP if used_up else _STOPPED
            # Ray has gone, and with it every worker that might still have written.
            for run in [] if lease.lost else recorder.recorded():
                if run.status == "RUNNING" and run.trial_key in failures:
                    recorder.close_trial(run, "FAILED", failures[run.trial_key])
                elif run.status == "RUNNING":
                    recorder.close_trial(run, "KILLED", reason)
        return failures, all_ended, used_up

    def _make(self, tasks: TaskMaker, plan: Plan) -> list[TrialTask]:
        self._labels |= {trial.key: trial.label for trial in plan.to_train}
        return tasks.of(plan)

    def _unfinished(self, recorder: SweepRecorder, failures: Mapping[str, str]) -> list[str]:
        """Trials that are still wanted, and are not those that have failed."""
        trials = plan_with(recorder, self._spec).to_train
        return [trial.label for trial in trials if trial.key not in failures]

    def _log_report(self, recorder: SweepRecorder, uri: str) -> None:
        """Put the report where MLflow's pages show it; a sweep does not fail for want of one."""
        self._watch(Note("the report is being written"))
        assert recorder.parent_run_id is not None
        try:
            database = home_database(self._settings)
            log_report(connect(uri), self._spec.name, recorder.parent_run_id, database)
        except Exception as error:  # noqa: BLE001 - the trials have ended, whatever it is
            what = f"{type(error).__name__}: {error}"
            again = f"snn-sweep report {self._spec.name}"
            self._watch(Note(f"no report was written: {what}; try: {again}"))

    def _forget_other_runs(
        self, plan: Plan, recorded: Sequence[TrialRun], buyer: SeedBuyer | None
    ) -> None:
        """Remove work in progress of runs that this server has not, or that count no longer.

        What has no run yet stays: it was measured while the server was away.
        """
        new = {trial.key for trial in plan.run}
        if buyer:  # of those that may be wanted later, too
            new |= buyer.possible.keys() - {run.trial_key for run in recorded}
        for storage in self._storage.folders():
            if storage.name in new:
                entries = read_spool(storage)
                if spooled_run_id(entries) is not None or (plan.replace and entries):
                    storage.delete_all()

    def _remove_work_in_progress(self) -> None:
        """All that it held is in MLflow. The lease's file stays: others may be waiting for it."""
        for trial in self._storage.folders():
            trial.delete_all()


def _certain(plan: Plan, spec: SweepSpec) -> Plan:
    """What of a plan runs whatever comes of other trials; the rest is bought in its turn."""
    certain = set(spec.certain_seeds())
    return dataclasses.replace(
        plan, run=tuple(trial for trial in plan.run if trial.config.seed in certain)
    )


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Stop on SIGTERM as on Ctrl-C, for which Tune has a handler; signals reach main alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
