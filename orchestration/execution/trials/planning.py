"""Plans a sweep from its spec and its record, without Ray and torch."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from orchestration.errors import InputError
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.sweep.continued import continued, has_other_space, words_on_space
from orchestration.sweep.plan import Plan, make_plan
from orchestration.sweep.spec import SweepSpec
from orchestration.sweep.stopping import UntilDecided
from services.settings import Settings
from services.tracking import reading_uri

if TYPE_CHECKING:  # a new sweep has no record, and planning it needs no MLflow
    from orchestration.record.sweep_recorder import SweepRecorder
    from orchestration.results.deciding.forecast import Forecast


def plan_sweep(spec: SweepSpec, *, fresh: bool = False, settings: Settings | None = None) -> Plan:
    """What :func:`run_sweep` would do. Starts and creates nothing.

    Raises:
        InputError: the spec cannot be run; see :func:`plan_with`.
        SpecError: the user's own code cannot be imported.
        ServiceError: the tracking server that the user names cannot be reached.
    """
    recorder = recorder_of(spec, settings)
    return plan_with(recorder, begun(spec, recorder), fresh=fresh)


def forecast_of(spec: SweepSpec, plan: Plan) -> Forecast | None:
    """The forecast of a sweep's trials and hours from recorded runs; None if seeds are listed."""
    if not isinstance(spec.seeds, UntilDecided) or spec.search is not None:
        return None
    from orchestration.execution.trials.seed_allocator import SeedAllocator

    with_runs = (*plan.reuse, *plan.copy, *plan.resume)
    wanted = begun(spec, recorder_of(spec, None))
    return SeedAllocator(wanted, [run for _, run in with_runs]).forecast()


def begun(spec: SweepSpec, recorder: SweepRecorder | None) -> SweepSpec:
    """The spec as it is recorded when its sweep begins, or goes on; None is no record."""
    before = recorder.spec() if recorder else None
    trained = set[str]()
    if recorder is not None and has_other_space(spec, before):
        runs = recorder.recorded()
        trained = {run.trial_key for run in runs if run.finished or run.epochs_done}
    spec = continued(spec, before, trained)
    if recorder is None or spec.search is None or not spec.search.may_grow:
        return spec
    # Imported here because it loads pandas.
    from orchestration.execution.trials.search_allocator import SearchAllocator, histories_at

    while True:
        recorded, uri = recorder.recorded_for(spec), recorder.tracking_uri
        allocator = SearchAllocator.of(spec, recorded, uri)
        further = allocator.with_further_settings(histories_at(uri, "epoch_seconds"))
        if further == spec:
            return spec
        spec = further


def recorder_of(spec: SweepSpec, settings: Settings | None) -> SweepRecorder | None:
    """The record of a spec's sweep; None if nothing is recorded. Starts no server."""
    return recorder_of_sweep(spec.name, settings or Settings.from_environment())


def recorder_of_sweep(name: str, settings: Settings) -> SweepRecorder | None:
    """The record of the sweep of this name, as in `recorder_of`."""
    uri = reading_uri(settings)
    if uri is None:
        return None
    from orchestration.record.client import connect
    from orchestration.record.sweep_recorder import SweepRecorder
    from orchestration.store.open import sweep_storage

    return SweepRecorder(connect(uri), name, sweep_storage(settings, name))


def plan_with(recorder: SweepRecorder | None, spec: SweepSpec, *, fresh: bool = False) -> Plan:
    """The plan of a sweep with this record; None is no record.

    Raises:
        InputError: the spec would change comparisons that are decided, or chooses settings by a
            metric that finished trials have not recorded.
    """
    before = recorder.spec() if recorder else None
    if recorder and before is not None and isinstance(before.seeds, UntilDecided):
        _refuse_another_family(recorder, spec, before)
    recorded = recorder.recorded_for(spec) if recorder else []
    trials = _wanted(spec, recorder, recorded, fresh=fresh)
    elsewhere: list[TrialRun] = []
    if recorder and spec.reuse == "any" and not fresh:
        missing = {trial.key for trial in trials}
        missing -= {run.trial_key for run in recorded if run.finished}
        others = recorder.finished_elsewhere(missing) if missing else []
        elsewhere = recorder.judged(others, spec)
    plan = make_plan(
        trials, recorded, version=version("snn-norm"), elsewhere=elsewhere, fresh=fresh
    )
    return replace(plan, warnings=(*plan.warnings, *words_on_space(spec, before)))


def _refuse_another_family(recorder: SweepRecorder, spec: SweepSpec, before: SweepSpec) -> None:
    # Imported here because it loads pandas.
    from orchestration.execution.trials.search_allocator import make_allocator
    from orchestration.execution.trials.seed_allocator import refuse_another_family

    recorded = recorder.recorded_for(before)
    allocator = make_allocator(before, recorded, recorder.tracking_uri)
    assert allocator is not None
    refuse_another_family(spec, before, allocator.verdicts)


def _wanted(
    spec: SweepSpec, recorder: SweepRecorder | None, recorded: list[TrialRun], *, fresh: bool
) -> list[Trial]:
    """The trials that are wanted so far; with ``fresh``, also every recorded one."""
    if recorder is None or not recorded or not spec.grows:
        return spec.trials()
    # Imported here because it loads pandas.
    from orchestration.execution.trials.search_allocator import SearchAllocator, make_allocator

    allocator = make_allocator(spec, recorded, recorder.tracking_uri)
    assert allocator is not None
    if isinstance(allocator, SearchAllocator) and (run := allocator.unmeasured()) and not fresh:
        assert spec.search is not None
        raise InputError(
            f"{spec.name}: search.metric must be a metric that all trials of the search have "
            f"recorded, got {spec.search.judged_by().name!r}; run {run} has recorded "
            f"{', '.join(recorder.metrics_of(run))}. Name one of these, or train all trials again "
            "with --fresh"
        )
    wanted = {trial.key for trial in allocator.wanted()}
    wanted |= {run.trial_key for run in recorded} if fresh else set()
    return [trial for trial in spec.possible_trials() if trial.key in wanted]
