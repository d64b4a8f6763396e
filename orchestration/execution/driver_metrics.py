"""Metrics that only a sweep's driver knows, in a file that Prometheus' node_exporter reads."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from orchestration.execution.stall_notice import StallNotice
from orchestration.progress.events import (
    Added,
    EpochDone,
    Event,
    Failed,
    Note,
    Planned,
    Retried,
    Started,
)

if TYPE_CHECKING:
    from prometheus_client.core import Metric

FOLDER = "metrics"
"""The folder of these files in SNN_SWEEP_HOME."""

_SECONDS = 15.0


@dataclass
class _Total:
    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        self.count += 1
        self.seconds += seconds


class DriverMetrics:
    """Passes a sweep's events on, and writes what they add up to every 15 seconds.

    The file is removed when the sweep ends in any way. The file of a driver that was killed stays,
    so that its age shows that the driver is dead.

    Args:
        name: the sweep's name.
        path: the file.
        stall: the handler to which events are passed on; it knows when there was progress.
        seconds: how often the file is written.
    """

    def __init__(
        self, name: str, path: Path, stall: StallNotice, seconds: float = _SECONDS
    ) -> None:
        self._name, self._path, self._stall, self._seconds = name, path, stall, seconds
        self._lock = threading.RLock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, daemon=True)
        self._planned: dict[str, float] = {}
        self._overdue: dict[str, float] = {}
        self._waited, self._saved = _Total(), _Total()
        self._retries = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with suppress(OSError):  # as when it was written, of which there was a note
            self._path.unlink(missing_ok=True)

    def __call__(self, event: Event) -> None:
        """Take one event and pass it on."""
        with self._lock:
            self._take(event)
        self._stall(event)

    def _take(self, event: Event) -> None:
        match event:
            case Planned(plan) | Added(plan):
                self._planned |= dict.fromkeys(
                    (trial.label for trial in plan.to_train), time.monotonic()
                )
            case Started(label) if label in self._planned:
                self._waited.add(time.monotonic() - self._planned.pop(label))
            case EpochDone(label, report):
                self._overdue.pop(label, None)
                if "overdue_since" in report:
                    self._overdue[label] = report["overdue_since"]
                if "checkpoint_seconds" in report:
                    self._saved.add(report["checkpoint_seconds"])
            case Retried():
                self._retries += 1
            case Failed(label):
                self._overdue.pop(label, None)
            case _:
                pass

    def _keep_writing(self) -> None:
        # Imported here, so that no sweep starts later.
        from prometheus_client import CollectorRegistry, write_to_textfile

        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        has_failed = False
        while True:
            try:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                write_to_textfile(str(self._path), registry)
            except OSError as error:
                if not has_failed:
                    self._stall(Note(f"the metrics of the sweep's driver are not written: {error}"))
                has_failed = True
            if self._ended.wait(self._seconds):
                return

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now, for a registry of prometheus_client."""
        from prometheus_client.core import (
            CounterMetricFamily,
            GaugeMetricFamily,
            SummaryMetricFamily,
        )

        def gauge(name: str, meaning: str, value: float) -> Metric:
            family = GaugeMetricFamily(f"snn_sweep_{name}", meaning, labels=["sweep"])
            family.add_metric([self._name], value)
            return family

        def summary(name: str, meaning: str, total: _Total) -> Metric:
            family = SummaryMetricFamily(f"snn_sweep_{name}", meaning, labels=["sweep"])
            family.add_metric([self._name], total.count, total.seconds)
            return family

        now = time.time()
        with self._lock:
            yield gauge(
                "driver_timestamp_seconds",
                "When the sweep's driver last wrote its metrics, which it does every 15 seconds.",
                now,
            )
            yield gauge(
                "progress_timestamp_seconds",
                "When a trial last started, or ended an epoch or itself.",
                now - self._stall.silent,
            )
            yield gauge(
                "longest_epoch_seconds",
                "Seconds of the longest epoch since the driver started; 0 before any has ended.",
                self._stall.longest_epoch,
            )
            yield gauge(
                "waiting_trials",
                "Planned trials that no worker has started yet.",
                len(self._planned),
            )
            yield summary(
                "queue_wait_seconds",
                "Seconds for which started trials had waited since they were planned.",
                self._waited,
            )
            yield summary(
                "checkpoint_seconds",
                "Seconds that workers took to save the checkpoint of an epoch.",
                self._saved,
            )
            yield gauge(
                "overdue_trials",
                "Trials with measurements that have waited for a minute to be recorded in MLflow.",
                len(self._overdue),
            )
            yield gauge(
                "oldest_overdue_seconds",
                "Age of the oldest measurement that waits to be recorded in MLflow; 0 if none "
                "has waited for a minute.",
                now - min(self._overdue.values(), default=now),
            )
            retries = CounterMetricFamily(
                "snn_sweep_retries",
                "Trials tried again after a fault of the infrastructure, since the driver started.",
                labels=["sweep"],
            )
            retries.add_metric([self._name], self._retries)
            yield retries
