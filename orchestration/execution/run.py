"""Runs a sweep. The driver is loaded only for a sweep that is not finished."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

from orchestration.execution.command_note import CommandNote
from orchestration.execution.end_notice import notify_of_end
from orchestration.execution.ray_process import RayProcess
from orchestration.execution.ray_session import RayOrder
from orchestration.execution.tally import SweepOutcome, announce
from orchestration.execution.trials.planning import begun, plan_with, recorder_of
from orchestration.progress.console import TextConsole
from orchestration.progress.display import LineDisplay, LiveDisplay, make_display
from orchestration.progress.events import EventHandler, Note
from orchestration.progress.notebook import NotebookDisplay, is_notebook
from orchestration.sweep.spec import SweepSpec
from services.notify import check_addresses
from services.settings import Settings
from services.tracking import prepared_server


def run_sweep(
    spec: SweepSpec,
    *,
    fresh: bool = False,
    settings: Settings | None = None,
    watch: EventHandler | None = None,
    at_end: Callable[[], None] = lambda: None,
    wait_for_report: bool = True,
) -> SweepOutcome:
    """Run a sweep to its end, here or on the Ray cluster that ``RAY_ADDRESS`` names.

    Trials that have finished before are reused, and interrupted ones continue from their
    checkpoints. Ctrl-C, a notebook's stop button or SIGTERM stops at the last epoch's checkpoints;
    a second one stops at once.

    Args:
        spec: the sweep's spec.
        fresh: whether to run every trial again; existing runs stay in MLflow, but no longer count.
        settings: the settings; by default those of the environment.
        watch: called with each event; by default a live table on a terminal and in a notebook,
            elsewhere lines on standard error.
        at_end: called once everything is on record, before the report is written.
        wait_for_report: whether to return after the report is written; otherwise a process of its
            own writes it, with the settings of the environment.

    Raises:
        InputError: the spec needs something that is missing (a data set, a GPU); nothing was
            started.
        SettingsError: ``SNN_SWEEP_NOTIFY`` has an invalid address; nothing was started.
        LeaseTakenError: another process is running this sweep.
        ServiceError: the tracking server or Ray cannot be reached.
    """
    settings = settings or Settings.from_environment()
    order = RayOrder.of(spec, settings)  # with the environment before libraries add to it
    with _display() if watch is None else nullcontext(watch) as handler:
        check_addresses(settings.notify)
        # A spec that was run from here before may have nothing left to train, so that is looked up
        # before anything is started. For any other it is looked up while three processes import.
        is_repeated = _is_repeated(spec, settings)
        if is_repeated and not fresh and (outcome := _finished_before(spec, settings, handler)):
            at_end()
            return outcome
        handler(Note("importing torch, Ray and MLflow"))
        with RayProcess(order) as ray, prepared_server(settings) as prepared:
            look_up = not is_repeated and not fresh
            if look_up and (outcome := _finished_before(spec, settings, handler)):
                at_end()
                return outcome
            from orchestration.execution.driver import Driver

            driver = Driver(spec, settings, handler, at_end, wait_for_report=wait_for_report)
            return driver.run(ray, prepared, fresh=fresh)


def _is_repeated(spec: SweepSpec, settings: Settings) -> bool:
    """Whether the last command that ran this sweep on this machine had the same spec."""
    known = CommandNote.of(settings, spec.name)
    return known is not None and known.spec == spec.to_json()


def _display() -> LineDisplay | LiveDisplay | NotebookDisplay:
    if is_notebook():
        return NotebookDisplay()
    return make_display(TextConsole(stderr=True))


def _finished_before(
    spec: SweepSpec, settings: Settings, watch: EventHandler
) -> SweepOutcome | None:
    """The outcome of a sweep that is complete, for which no server is started; otherwise None."""
    recorder = recorder_of(spec, settings)
    if recorder is None:
        return None
    spec = begun(spec, recorder)
    plan = plan_with(recorder, spec)
    if plan.run or plan.resume or plan.copy or plan.close or not recorder.are_closed_for(spec):
        return None
    announce(plan, watch)
    uri = recorder.tracking_uri
    outcome = SweepOutcome(spec.name, len(plan.reuse), {}, interrupted=False, tracking_uri=uri)
    notify_of_end(outcome, recorder, settings, watch)
    return outcome
