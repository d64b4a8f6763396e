"""Runs a training job. Ray must be running."""

from __future__ import annotations

import dataclasses
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version

from orchestration.execution.ray_board import ray_board
from orchestration.execution.ray_process import Trained, TrainingJob
from orchestration.execution.trials.fair_share import FairShare
from orchestration.execution.trials.search_allocator import SearchAllocator, make_allocator
from orchestration.execution.trials.tasks import TaskMaker
from orchestration.execution.trials.trial_queue import SweepTrialQueue
from orchestration.execution.tune import run_tasks
from orchestration.execution.worker.task import TrialTask
from orchestration.model.trial import Trial
from orchestration.progress.events import Added, EventHandler, Note
from orchestration.sweep.plan import Plan, make_plan
from orchestration.sweep.spec import SweepSpec
from services.limits import limits_of


def train(job: TrainingJob, watch: EventHandler) -> Trained:
    """Run trials until there are no more, or until the user interrupts."""
    spec, recorded = job.spec, job.recorded
    allocator = make_allocator(spec, recorded, job.uri)
    for key in job.failed if allocator else ():
        assert allocator is not None
        allocator.fail(key)
    with _sigterm_as_ctrl_c():
        search = allocator if isinstance(allocator, SearchAllocator) else None
        tasks = TaskMaker(job, search.target) if search else TaskMaker(job)
        tasks.share_gpus(job.plan, watch)

        def more(trials: Sequence[Trial]) -> list[TrialTask]:
            further = make_plan(trials, recorded, version=version("snn-norm"))
            watch(Added(further))
            return tasks.of(further)

        first = tasks.of(_certain(job.plan, spec) if allocator else job.plan)
        trials = SweepTrialQueue(first, tasks.budget(recorded), allocator, more, watch)
        with ray_board() as board:
            user, most = job.settings.user, limits_of(job.settings).running
            share = FairShare(spec.resources.priority, board, watch, user=user, most=most)
            all_ended = run_tasks(trials, spec.retries, watch, share)
        if summary := trials.summary():
            watch(Note(summary))
    return Trained(all_ended, trials.is_over)


def _certain(plan: Plan, spec: SweepSpec) -> Plan:
    """A plan with only the certain seeds; the others are allocated later."""
    certain = {*spec.certain_seeds(), *(spec.search.seed_list() if spec.search else ())}
    return dataclasses.replace(
        plan, run=tuple(trial for trial in plan.run if trial.config.seed in certain)
    )


@contextmanager
def _sigterm_as_ctrl_c() -> Iterator[None]:
    """Stop on SIGTERM as on Ctrl-C, for which Tune has a handler."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
