"""The list of all sweeps, from their runs."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass

from orchestration.model.durations import possible_seconds, trained_seconds
from orchestration.model.metric import TEST_ACCURACY, Metric
from orchestration.page.drawing.estimates import EPOCH_SECONDS, gpus_of_a_trial
from orchestration.reading.overview import SweepOverview, overviews_of
from orchestration.reading.records import MlflowRun, Source
from orchestration.record.names import LABEL_TAG, ROLE_TAG
from orchestration.sweep.recorded_spec import spec_fields
from orchestration.sweep.search import MOST_SEEDS


@dataclass(frozen=True)
class Listed:
    """A sweep in the list of all sweeps.

    Args:
        overview: its progress.
        hours: the estimated hours of training of all trials; GPU hours if ``on_gpu``.
        impossible: how many runs have an impossible time of an epoch, which is left out of hours.
        on_gpu: whether its trials reserve GPUs.
        best: the best value of the metric; None before there is one.
        best_of: the label of the trial with the best value; trials of a search do not count.
    """

    overview: SweepOverview
    hours: float
    impossible: int
    on_gpu: bool
    metric: Metric
    best: float | None
    best_of: str
    running: int


def read_list(source: Source, known: Collection[str]) -> list[Listed]:
    """All sweeps, the last started first.

    Args:
        source: has the runs.
        known: the metrics of sweeps' best values, as far as they are known. If a sweep has
            another one, the runs are read again.
    """
    runs = list(source.sweep_runs((*known, EPOCH_SECONDS)))
    overviews = overviews_of(runs)
    metrics = {overview.name: _metric_of(overview.spec) for overview in overviews}
    names = {metric.best_name for metric in metrics.values()}
    if not names <= set(known):
        return read_list(source, names | set(known))
    trials: dict[str, list[MlflowRun]] = {overview.name: [] for overview in overviews}
    for run in runs:
        if run.tags[ROLE_TAG] == "trial" and run.experiment in trials:
            trials[run.experiment].append(run)
    return [
        _listed(overview, metrics[overview.name], trials[overview.name]) for overview in overviews
    ]


def _listed(overview: SweepOverview, metric: Metric, trials: Sequence[MlflowRun]) -> Listed:
    hours, impossible = 0.0, 0
    best: tuple[float, str] | None = None
    of_search = _seeds_of_search(overview.spec)
    for run in trials:
        epochs, recorded = run.metrics.get(EPOCH_SECONDS, (0, 0.0))
        seconds = possible_seconds(recorded)
        impossible += seconds is None
        span = ((run.ended or math.inf) - (run.started or 0)) / 1000
        hours += trained_seconds(epochs, seconds or 0.0, span) / 3600
        label = run.tags.get(LABEL_TAG, "")
        is_judged = run.status == "FINISHED" and not label.endswith(of_search)
        if is_judged and metric.best_name in run.metrics:
            value = metric.sign * run.metrics[metric.best_name][1], label
            best = value if best is None else max(best, value)
    gpus = gpus_of_a_trial(overview.spec)
    return Listed(
        overview,
        hours * (gpus or 1.0),
        impossible,
        bool(gpus),
        metric,
        None if best is None else metric.sign * best[0],
        "" if best is None else best[1],
        sum(run.status == "RUNNING" for run in trials),
    )


def _seeds_of_search(spec: str | None) -> tuple[str, ...]:
    """How the labels of trials of a search end; it does not look at the test set."""
    try:
        count = int(spec_fields(spec)["search"]["seeds"])
    except (KeyError, TypeError, ValueError):  # it has no search, or is of another version
        return ()
    return tuple(f" seed {seed}" for seed in range(min(count, MOST_SEEDS)))


def _metric_of(spec: str | None) -> Metric:
    """The metric of a spec, which this version need not be able to read."""
    try:
        rule = spec_fields(spec)["metric"]
        return Metric(str(rule["name"]), "minimize" if rule["goal"] == "minimize" else "maximize")
    except (KeyError, TypeError):
        return TEST_ACCURACY
