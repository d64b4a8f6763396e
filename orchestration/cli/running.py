"""The commands that plan and run a sweep: plan, run."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from orchestration.cli import arguments
from orchestration.cli.console import err, out, print_results
from orchestration.cli.models import bytes_to_keep, print_kept
from orchestration.errors import FAILED, INTERRUPTED
from services.settings import Settings

if TYPE_CHECKING:
    from orchestration.execution.probe import Probed
    from orchestration.results.deciding.forecast import Forecast, SeedsForEqual
    from orchestration.sweep.plan import Plan
    from orchestration.sweep.spec import SweepSpec

_fresh = click.option(
    "--fresh",
    is_flag=True,
    help="Run every trial again; existing runs stay in MLflow but no longer count.",
)


@click.command()
@arguments.spec
@_fresh
@click.option("--json", "as_json", is_flag=True, help="Print only the plan, as JSON.")
@click.option("--data", is_flag=True, help="Also load each data set, as run does before it starts.")
@click.option(
    "--probe",
    "probed",
    is_flag=True,
    help="Also load each data set, give each cell's network one batch, and warn of those that are "
    "predicted to collapse.",
)
def plan(spec: str, fresh: bool, as_json: bool, data: bool, probed: bool) -> None:
    """Check SPEC and print what would run, without starting it."""
    from orchestration.execution.trials.planning import (
        begun,
        forecast_of,
        plan_sweep,
        recorder_of,
    )
    from orchestration.sweep.spec import SweepSpec

    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    if probed:
        err.print("loading each data set; missing ones are downloaded")
    if data or probed:
        from orchestration.execution.trials.preflight import check_data

        check_data(sweep, settings)
    sweep = begun(sweep, recorder_of(sweep, settings))
    planned = plan_sweep(sweep, fresh=fresh)
    cells = _probe(planned, settings.data, sweep.resources.cpu) if probed else None
    if as_json:
        kept = {"keep": sweep.keep, "bytes": bytes_to_keep(sweep, planned)}
        fields: dict[str, Any] = {"name": sweep.name, **planned.to_dict(), "models": kept}
        if (forecast := forecast_of(sweep, planned)) is not None:
            fields["seeds"] = dataclasses.asdict(forecast)
        if sweep.search is not None:
            from orchestration.sweep.search_cost import search_cost

            fields["search"] = dataclasses.asdict(search_cost(sweep))
        if cells is not None:
            fields["probe"] = [cell.to_dict() for cell in cells]
        click.echo(json.dumps(fields, indent=2))
        return
    _print_plan(sweep, planned)
    if cells is not None:
        _print_probed(cells)


def _probe(plan: Plan, data: Path, cpus: float) -> list[Probed]:
    """Probe each cell that has trials to train; shows a progress bar on a terminal."""
    from rich.progress import track

    from orchestration.execution.probe import probe, to_probe

    trials = to_probe(plan)
    err.print(f"probing {len(trials)} cells, one batch through the network of each")
    probing = probe(trials, data, max(1, int(cpus)))
    bar = track(probing, "probing", len(trials), console=err, transient=True, show_speed=False)
    with redirect_stdout(sys.stderr):  # the user's own network may print, and a plan may be JSON
        return list(bar)


def _print_probed(cells: Sequence[Probed]) -> None:
    """Warn of cells that are predicted to collapse, and of those without a prediction."""
    for warning in filter(None, (cell.warning() for cell in cells)):
        err.print(f"warning: {warning}")
    predictions = [cell.prediction for cell in cells if cell.prediction is not None]
    collapsing = sum(prediction.collapses for prediction in predictions)
    out.print(
        f"probe: {collapsing} of {len(cells)} cells predicted to collapse, "
        f"{len(cells) - len(predictions)} unknown"
    )


def _print_plan(spec: SweepSpec, planned: Plan) -> None:
    from rich.table import Table

    from orchestration.execution.trials.planning import forecast_of
    from orchestration.model.durations import duration
    from orchestration.sweep.plan import estimate_seconds

    table = Table("trial", "key", "what happens", box=None, pad_edge=False)
    for trial in planned.run:
        table.add_row(trial.label, trial.key, "runs")
    for trial, run in planned.resume:
        of_epochs = f" of {trial.config.epochs}" if trial.config.epochs else ""
        table.add_row(trial.label, trial.key, f"resumes after epoch {run.epochs_done}{of_epochs}")
    for trial, run in planned.reuse:
        table.add_row(trial.label, trial.key, f"finished before: {run.outcome}")
    for trial, run in planned.copy:
        table.add_row(trial.label, trial.key, f"finished in another sweep: {run.outcome}")
    out.print(table)
    for warning in planned.warnings:
        err.print(f"warning: {warning}")
    slots = max(1, int((os.cpu_count() or 1) // spec.resources.cpu))
    seconds = estimate_seconds(planned, slots)
    out.print(
        f"{spec.name}: {len(planned.run)} to run, {len(planned.resume)} to resume, "
        f"{len(planned.reuse) + len(planned.copy)} finished before"
        + (f"; about {duration(seconds)} with {slots} at a time here" if seconds else "")
    )
    print_kept(spec, planned)
    if forecast := forecast_of(spec, planned):
        _print_forecast(spec, forecast)
    if spec.search is not None:
        _print_search(spec)


def _print_search(spec: SweepSpec) -> None:
    from rich.table import Table

    from orchestration.model.trial import cell_label
    from orchestration.results.deciding.hours import hours_unit
    from orchestration.sweep.search_cost import search_cost

    cost = search_cost(spec)
    out.print(
        "search: the trials above are wanted so far; "
        f"{'at least ' * cost.may_grow}{cost.settings:,} settings of "
        f"{len(spec.cells()):,} cells, and the best of each cell with fresh seeds, need"
    )
    table = Table("", "trials", "epochs", box=None, pad_edge=False)
    search, cells = spec.search, spec.cells()
    assert search is not None
    settings = cost.settings * search.seeds
    pruned = settings - cost.finished
    rows: list[tuple[str, int | None, int | None]] = [
        (f"search{f' ({pruned:,} pruned)' if pruned else ''}", settings, cost.epochs),
        ("at least, with the best", settings + cost.confirmed_at_least, cost.epochs_at_least),
        ("at most", settings + cost.confirmed_at_most, cost.epochs_at_most),
    ]
    for name, *counts in [*rows[:2], ("at most", None, None)] if cost.may_grow else rows:
        table.add_row(name, *("–" if count is None else f"{count:,}" for count in counts))
    out.print(table)
    if cost.may_grow:
        out.print(
            f"gpu_hours: for how many settings {search.gpu_hours:g} {hours_unit(spec)} hours of "
            f"each cell are enough is known once its first {search.round_size} have trained"
        )
    wanted = search.counts(len(cells))
    for cell, count, most in zip(cells, spec.setting_counts(), wanted, strict=True):
        if count < most:
            out.print(
                f"{cell_label(cell, spec.axes())}: {count} settings, which are all that its space "
                "has"
            )


def _print_forecast(spec: SweepSpec, forecast: Forecast) -> None:
    from rich.table import Table

    from orchestration.render.table import hours_in_words

    certain, most = len(spec.certain_seeds()), len(spec.seed_order())
    out.print("seeds until decided: the trials above are wanted so far; the whole sweep needs")
    table = Table("", "trials", f"{forecast.hours_of} hours", "", box=None, pad_edge=False)
    for name, cost, why in (
        ("certain", forecast.certain, f"{certain} seeds of each cell"),
        ("likely", forecast.likely, "if further seeds are like those so far"),
        ("at most", forecast.most, f"{most} seeds of each cell that is compared"),
    ):
        if cost is None:
            table.add_row(name, "–", "–", "known once every comparison has two pairs of seeds")
        else:
            hours = "–" if cost.hours is None else hours_in_words(cost.hours)
            table.add_row(name, f"{cost.trials:,}", hours, why)
    out.print(table)
    if forecast.equal and (note := _equal_note(forecast.equal, most)):
        out.print(note)


def _equal_note(equal: SeedsForEqual, at_most: int) -> str:
    """A sentence if ``at_most`` seeds cannot, or can hardly, lead to ``equal``; else empty."""
    from orchestration.sweep.stopping import MOST_SEEDS

    fewest, with_spread = (
        f"more than {MOST_SEEDS}" if n is None else str(n)
        for n in (equal.fewest, equal.fewest_with_spread)
    )
    if equal.fewest is None or equal.fewest > at_most:
        records = ", given the spread and the losses on record" if equal.from_records else ""
        seeds = f"at least {fewest}" if equal.fewest else fewest
        problem = f"no verdict can be equal: that takes {seeds} seeds without a failure{records}"
    elif not equal.from_records and (equal.fewest_with_spread or MOST_SEEDS + 1) > at_most:
        problem = (
            f"hardly any verdict can be equal: that takes {fewest} seeds without a failure if the "
            f"two values of each seed are the same, and {with_spread} if values have a standard "
            "deviation over seeds of practically_equal"
        )
    else:
        return ""
    way_out = "Raise at_most, or expect" if equal.fewest else "Expect"
    return (
        f"{problem}; at_most is {at_most}. {way_out} undecided, whose interval shows which "
        "differences remain possible."
    )


@click.command()
@arguments.spec
@_fresh
@click.option(
    "--wait-for-report/--no-wait-for-report",
    default=True,
    envvar="SNN_SWEEP_WAIT_FOR_REPORT",
    show_envvar=True,
    help="Whether to wait for the report's figures and pages after the table; without, a process "
    "in the background writes them.",
)
def run(spec: str, fresh: bool, wait_for_report: bool) -> None:
    """Run SPEC and print its table. Finished trials do not run again."""
    from orchestration.sweep.spec import SweepSpec

    # A shell's `&` makes a command ignore SIGINT, which `snn-sweep stop` sends. SIGTERM must not
    # end the command before it has ended its server.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sweep = SweepSpec.load(spec)
    settings = Settings.from_environment()
    from orchestration.execution.command_note import note_command
    from orchestration.execution.local_sweeps import log_path
    from orchestration.execution.run import run_sweep
    from orchestration.progress.display import make_display
    from orchestration.progress.event_log import FileLog
    from orchestration.progress.events import Note, both, from_plan

    log = both(FileLog(log_path(settings, sweep.name)), note_command(settings, sweep))
    display = make_display(err)
    with ExitStack() as shown:
        shown.enter_context(display)

        def print_table() -> None:
            shown.close()
            print_results(sweep.name)

        display(Note(f"sweep {sweep.name}: reading what is on record"))
        outcome = run_sweep(
            sweep,
            fresh=fresh,
            settings=settings,
            watch=both(display, from_plan(log)),
            at_end=print_table,
            wait_for_report=wait_for_report,
        )
    if outcome.unfinished:
        labels = ", ".join(outcome.unfinished[:3]) + (" …" if len(outcome.unfinished) > 3 else "")
        err.print(
            f"gpu_hours are used up: {len(outcome.unfinished)} trials are missing ({labels}); with "
            f"more of them, continue with: snn-sweep run {spec}",
        )
    for label, reason in outcome.failures.items():
        err.print(f"failed: {label}: {reason}", style="red")
    if outcome.interrupted:
        err.print(f"stopped; continue with: snn-sweep run {spec}")
        raise SystemExit(INTERRUPTED)
    if settings.tracking_uri is None:
        err.print("browse every run: snn-sweep ui")
    else:
        err.print(f"browse every run: {outcome.tracking_uri}")
    if outcome.failures:
        err.print("their tracebacks are in their runs, tag snn_sweep.reason")
        raise SystemExit(FAILED)


COMMANDS = (plan, run)
