"""The state of sweeps as metrics for Prometheus, at ``/sweeps?format=prometheus``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Gauge, generate_latest

from orchestration.execution.local_sweeps import is_abandoned
from orchestration.reading.summaries import SweepSummary


def prometheus_text(
    sweeps: Sequence[SweepSummary],
    drivers: Mapping[str, str],
    answer_seconds: float,
    database_bytes: int | None,
) -> bytes:
    """The metrics of these sweeps in Prometheus' text format.

    Args:
        drivers: the drivers of those that run, as far as they are known.
        answer_seconds: how long reading these sweeps has taken.
        database_bytes: the size of MLflow's database; None if it is not known.
    """
    registry = CollectorRegistry()
    answered = "Seconds in which the server has read the state of all sweeps for this answer."
    Gauge("snn_sweep_answer_seconds", answered, registry=registry).set(answer_seconds)
    if database_bytes is not None:
        size = "Size of MLflow's database in bytes."
        Gauge("snn_sweep_database_bytes", size, registry=registry).set(database_bytes)

    def gauge(name: str, meaning: str, *more: str) -> Gauge:
        return Gauge(name, meaning, ["sweep", *more], registry=registry)

    running = gauge(
        "snn_sweep_running", "1 if the sweep's last driver has not ended it, otherwise 0."
    )
    abandoned = gauge(
        "snn_sweep_abandoned",
        "1 if the sweep is running, but its driver on this machine has died, otherwise 0.",
    )
    expected = gauge("snn_sweep_expected_trials", "Trials that the sweep's spec wants.")
    trials = gauge(
        "snn_sweep_trials",
        "Trials by state: completed, collapsed, diverged, pruned, running, failed, killed.",
        "state",
    )
    training = gauge(
        "snn_sweep_training_seconds",
        "Seconds of recorded epochs of all trials, times the GPUs of a trial if it has any.",
    )
    for sweep in sweeps:
        name, status = sweep.name, sweep.status
        running.labels(name).set(status == "running")
        abandoned.labels(name).set(is_abandoned(status, drivers.get(name)))
        training.labels(name).set(3600 * sweep.hours)
        if sweep.expected is not None:
            expected.labels(name).set(sweep.expected)
        for state, count in sweep.trials.items():
            trials.labels(name, state).set(count)
    return generate_latest(registry)
