"""Runs a sweep. One that has finished is told of at once; for any other its driver is loaded."""

from __future__ import annotations

from orchestration.execution.outcome import SweepOutcome, announce
from orchestration.execution.trials.planning import plan_with
from orchestration.progress.console import TextConsole
from orchestration.progress.display import make_display
from orchestration.progress.events import EventHandler
from orchestration.store.open import sweep_storage
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings
from services.tracking import reading_uri


def run_sweep(
    spec: SweepSpec,
    *,
    fresh: bool = False,
    settings: Settings | None = None,
    watch: EventHandler | None = None,
) -> SweepOutcome:
    """Run a sweep to its end, here or on the Ray cluster that ``RAY_ADDRESS`` names.

    Trials that have finished before are reused, interrupted ones go on where they were. Ctrl-C or
    SIGTERM stops at the last epoch's checkpoints; a second one stops at once.

    Args:
        spec: what is wanted.
        fresh: run every trial anew; runs that there are stay in MLflow, but count no longer.
        settings: default: from the environment.
        watch: told of what happens; default: a live table or lines on standard error.

    Raises:
        InputError: the spec asks for what is not there (a data set, a GPU); nothing was started.
        LeaseTakenError: another process is running this sweep.
        ServiceError: the tracking server or Ray cannot be reached.
    """
    settings = settings or Settings.from_environment()
    if watch is None:
        with make_display(TextConsole(stderr=True)) as watch:
            return _run(spec, settings, watch, fresh=fresh)
    return _run(spec, settings, watch, fresh=fresh)


def _run(spec: SweepSpec, settings: Settings, watch: EventHandler, *, fresh: bool) -> SweepOutcome:
    if not fresh and (outcome := _finished_before(spec, settings, watch)):
        return outcome
    # With torch, Ray and all that a report is drawn with.
    from orchestration.execution.driver import Driver

    return Driver(spec, settings, watch).run(fresh=fresh)


def _finished_before(
    spec: SweepSpec, settings: Settings, watch: EventHandler
) -> SweepOutcome | None:
    """The outcome of a sweep that is complete: its user need not wait for a server."""
    uri = reading_uri(settings)
    if uri is None:
        return None
    from orchestration.record.client import connect
    from orchestration.record.sweep_recorder import SweepRecorder

    recorder = SweepRecorder(connect(uri), spec.name, sweep_storage(settings, spec.name))
    plan = plan_with(recorder, spec)
    if plan.run or plan.resume or plan.copy or plan.close or not recorder.are_closed_for(spec):
        return None
    announce(plan, watch)
    return SweepOutcome(spec.name, len(plan.reuse), {}, interrupted=False, tracking_uri=uri)
