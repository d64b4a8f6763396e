"""Runs a sweep. The driver is loaded only for a sweep that is not finished."""

from __future__ import annotations

from orchestration.execution.outcome import SweepOutcome, announce
from orchestration.execution.trials.planning import begun, plan_with
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

    Trials that have finished before are reused, and interrupted ones continue from their
    checkpoints. Ctrl-C or SIGTERM stops at the last epoch's checkpoints; a second one stops at
    once.

    Args:
        spec: the sweep's spec.
        fresh: whether to run every trial again; existing runs stay in MLflow, but no longer count.
        settings: the settings; by default those of the environment.
        watch: called with each event; by default a live table or lines on standard error.

    Raises:
        InputError: the spec needs something that is missing (a data set, a GPU); nothing was
            started.
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
    # Imported here because it loads torch, Ray and matplotlib.
    from orchestration.execution.driver import Driver

    return Driver(spec, settings, watch).run(fresh=fresh)


def _finished_before(
    spec: SweepSpec, settings: Settings, watch: EventHandler
) -> SweepOutcome | None:
    """The outcome of a sweep that is complete, for which no server is started; otherwise None."""
    uri = reading_uri(settings)
    if uri is None:
        return None
    from orchestration.record.client import connect
    from orchestration.record.sweep_recorder import SweepRecorder

    recorder = SweepRecorder(connect(uri), spec.name, sweep_storage(settings, spec.name))
    spec = begun(spec, recorder)
    plan = plan_with(recorder, spec)
    if plan.run or plan.resume or plan.copy or plan.close or not recorder.are_closed_for(spec):
        return None
    announce(plan, watch)
    return SweepOutcome(spec.name, len(plan.reuse), {}, interrupted=False, tracking_uri=uri)
