"""What a sweep's driver tells Prometheus, and that its file goes with it."""

from __future__ import annotations

import time
from pathlib import Path

from commands import wait_until
from prometheus_client.parser import text_string_to_metric_families

from orchestration.execution.driver_metrics import DriverMetrics
from orchestration.execution.stall_notice import StallNotice
from orchestration.progress.events import (
    EpochDone,
    Event,
    Failed,
    Note,
    Planned,
    Retried,
    Started,
)
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec
from services.settings import Settings


def metrics_of(path: Path, seen: list[Event]) -> DriverMetrics:
    settings = Settings.from_environment({"SNN_SWEEP_HOME": str(path.parents[1])})
    return DriverMetrics("digits", path, StallNotice("digits", settings, seen.append), 0.02)


def numbers(path: Path) -> dict[str, float]:
    families = text_string_to_metric_families(path.read_text())
    samples = [sample for family in families for sample in family.samples]
    assert {sample.labels["sweep"] for sample in samples} == {"digits"}
    return {sample.name.removeprefix("snn_sweep_"): sample.value for sample in samples}


def test_events_add_up_in_a_file_that_goes_with_its_driver(tmp_path: Path) -> None:
    path, seen = tmp_path / "metrics" / "digits.prom", list[Event]()
    first, second, third, *others = SweepSpec.load("digits").trials()
    late = time.time() - 700
    events = [
        Planned(Plan((first, second, third, *others), (), (), (), (), (), (), ())),
        Started(first.label),
        EpochDone(first.label, {"epoch": 1, "epoch_seconds": 9.0, "checkpoint_seconds": 0.5}),
        EpochDone(first.label, {"epoch": 2, "epoch_seconds": 4.0, "overdue_since": late}),
        Started(second.label),
        Retried(second.label, "its node died"),
        Started(second.label),
    ]
    with metrics_of(path, seen) as metrics:
        for event in events:
            metrics(event)
        wait_until(lambda: path.exists() and numbers(path)["retries_total"] == 1, 20)
        found = numbers(path)
        assert abs(found.pop("driver_timestamp_seconds") - time.time()) < 20
        assert abs(found.pop("progress_timestamp_seconds") - time.time()) < 20
        assert 700 <= found.pop("oldest_overdue_seconds") < 720
        assert 0 < found.pop("queue_wait_seconds_sum") < 20
        assert found == {
            "longest_epoch_seconds": 9,
            "waiting_trials": 1 + len(others),
            "queue_wait_seconds_count": 2,
            "checkpoint_seconds_count": 1,
            "checkpoint_seconds_sum": 0.5,
            "overdue_trials": 1,
            "retries_total": 1,
        }
        metrics(EpochDone(first.label, {"epoch": 3, "epoch_seconds": 4.0}))  # all has arrived
        wait_until(lambda: numbers(path)["overdue_trials"] == 0, 20)
        assert numbers(path)["oldest_overdue_seconds"] == 0
        metrics(EpochDone(second.label, {"outcome": None, "overdue_since": late}))
        wait_until(lambda: numbers(path)["overdue_trials"] == 1, 20)
        metrics(Failed(second.label, "no memory"))
        wait_until(lambda: numbers(path)["overdue_trials"] == 0, 20)
    assert not path.exists()
    assert seen[: len(events)] == events


def test_a_file_that_cannot_be_written_is_noted_once_and_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "metrics").write_text("a file where the folder should be")
    seen: list[Event] = []
    with metrics_of(tmp_path / "metrics" / "digits.prom", seen) as metrics:
        wait_until(lambda: bool(seen), 20)
        time.sleep(0.1)
        metrics(Started("a trial"))
    (note, started) = seen
    assert isinstance(note, Note)
    assert "are not written" in note.text
    assert started == Started("a trial")
