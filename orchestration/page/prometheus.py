"""The state of sweeps as metrics for Prometheus, at ``/sweeps?format=prometheus``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily

from orchestration.execution.local_sweeps import is_abandoned
from orchestration.page.drawing.listing import Listed


def prometheus_text(sweeps: Sequence[Listed], drivers: Mapping[str, str]) -> bytes:
    """The metrics of these sweeps in Prometheus' text format.

    Args:
        sweeps: the sweeps.
        drivers: the drivers of those that run, as far as they are known.
    """
    registry = CollectorRegistry()
    registry.register(_Sweeps(sweeps, drivers))
    return generate_latest(registry)


class _Sweeps:
    """Collects metrics as `prometheus_client` asks for them."""

    def __init__(self, sweeps: Sequence[Listed], drivers: Mapping[str, str]) -> None:
        self._sweeps, self._drivers = sweeps, drivers

    def collect(self) -> Iterator[GaugeMetricFamily]:
        running = GaugeMetricFamily(
            "snn_sweep_running",
            "1 if the sweep's last driver has not ended it, otherwise 0.",
            labels=["sweep"],
        )
        abandoned = GaugeMetricFamily(
            "snn_sweep_abandoned",
            "1 if the sweep is running, but its driver on this machine has died, otherwise 0.",
            labels=["sweep"],
        )
        expected = GaugeMetricFamily(
            "snn_sweep_expected_trials", "Trials that the sweep's spec wants.", labels=["sweep"]
        )
        trials = GaugeMetricFamily(
            "snn_sweep_trials",
            "Trials by state: completed, collapsed, diverged, pruned, running, failed, killed.",
            labels=["sweep", "state"],
        )
        training = GaugeMetricFamily(
            "snn_sweep_training_seconds",
            "Seconds of recorded epochs of all trials, times the GPUs of a trial if it has any.",
            labels=["sweep"],
        )
        for listed in self._sweeps:
            overview = listed.overview
            name, status = overview.name, overview.status
            running.add_metric([name], status == "running")
            abandoned.add_metric([name], is_abandoned(status, self._drivers.get(name)))
            training.add_metric([name], 3600 * listed.hours)
            if overview.expected is not None:
                expected.add_metric([name], overview.expected)
            for state, count in overview.trials.items():
                trials.add_metric([name, state], count)
        return iter((running, abandoned, expected, trials, training))
