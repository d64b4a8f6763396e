"""The events on a page are few enough that a failure is seen."""

from __future__ import annotations

from pathlib import Path

from specs import spec

from orchestration.page.events import EventTail
from orchestration.progress.event_log import FileLog
from orchestration.progress.events import EpochDone, Failed, Planned, Retried, Started
from orchestration.sweep.plan import Plan
from orchestration.sweep.spec import SweepSpec


def test_epochs_are_left_out_and_each_trial_has_its_own_events(tmp_path: Path) -> None:
    one, other = SweepSpec.from_dict(spec(epochs=100)).trials()
    path = tmp_path / "events.jsonl"
    log = FileLog(path)
    log(Planned(Plan((one, other), (), (), (), (), (), (), ())))
    log(Started(one.label))
    log(Started(other.label))
    log(Retried(other.label, "its worker died"))
    log(Failed(other.label, "CUDA out of memory"))
    for epoch in range(1, 101):
        outcome = "completed" if epoch == 100 else None
        report = {"epoch": epoch, "epoch_seconds": 1.0, "value": 0.5, "best": 0.5}
        log(EpochDone(one.label, {**report, "outcome": outcome}))
    tail = EventTail(path)
    tail.read()
    words = [line.partition("] ")[2] for line in tail.lines]
    assert words[0].startswith("2 trials to run")
    assert words[1:3] == [f"{one.label}: started", f"{other.label}: started"]
    assert "CUDA out of memory" in words[4]
    assert words[5:] == [f"{one.label}: completed, best 50.00%"]
    assert len(tail.of_trial[one.label]) == 2
    assert len(tail.of_trial[other.label]) == 3
    assert tail.retried == {other.label: 1}
