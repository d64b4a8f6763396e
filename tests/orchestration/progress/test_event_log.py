from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from specs import spec

from orchestration import SweepSpec
from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.progress.display import LineDisplay
from orchestration.progress.event_log import FileLog, Replay, StreamLog, read_event
from orchestration.progress.events import (
    Added,
    EpochDone,
    EventHandler,
    Failed,
    Note,
    Planned,
    Retried,
    Started,
    Supervised,
    both,
)
from orchestration.sweep.plan import Plan, make_plan

SPEC = SweepSpec.from_dict(
    spec(epochs=4, grid=[{"architecture": "ann", "norm": ["none", "batchnorm"]}])
)
NONE_1, NONE_2, *_ = SPEC.trials()
FINISHED = TrialRun("a", NONE_1.key, "FINISHED", "completed", 4, 5.0, "1", False)
BEGUN = TrialRun("b", NONE_2.key, "KILLED", None, 1, 5.0, "1", True)


@pytest.fixture
def plan() -> Plan:
    return make_plan(SPEC.trials(), [FINISHED, BEGUN], version="1")


def happen(watch: EventHandler, plan: Plan) -> None:
    """One of each event, with what Tune adds to a report."""
    label = NONE_2.label
    report: dict[str, Any] = {
        "epoch": 2,
        "epoch_seconds": 1.5,
        "value": 0.5,
        "best": 0.75,
        "outcome": None,
        "config": {"task": object()},
    }
    watch(Planned(plan))
    watch(Note("a note\nof two lines"))
    watch(Started(label))
    watch(EpochDone(label, report))
    watch(Retried(label, "a worker died"))
    watch(Failed(label, "é"))
    further = Trial(NONE_2.config.model_copy(update={"seed": 3}), "0" * 16, "ann none")
    watch(Added(make_plan([further], [], version="1")))
    watch(EpochDone(further.label, {**report, "epoch": 4, "outcome": "completed"}))
    watch(Supervised())


def shown(happening: Any) -> str:
    """What a person reads, without the times."""
    text = io.StringIO()
    happening(LineDisplay(Console(file=text, width=200)))
    return "\n".join(line.partition("] ")[2] or line for line in text.getvalue().splitlines())


def test_another_watch_is_told_the_same(plan: Plan) -> None:
    written = io.StringIO()
    happen(StreamLog(written), plan)
    assert len(written.getvalue().splitlines()) == 9

    def replayed(watch: LineDisplay) -> None:
        replay = Replay()
        for line in written.getvalue().splitlines():
            replay.feed(line, watch)

    assert shown(replayed) == shown(lambda watch: happen(watch, plan))
    assert "1 finished before" in shown(replayed)
    assert "further trials: ann none seed 3" in shown(replayed)
    assert "2 of 5 done" in shown(replayed)


def test_lines_of_the_version_before_are_understood() -> None:
    trial = {"key": NONE_1.key, "label": NONE_1.label, "config": NONE_1.config.given()}
    run = {"run_id": "a", "outcome": None, "epochs_done": 1, "epoch_seconds": 5.0}
    line = {"snn_sweep": "planned", "time": 1.5, "plan": {"run": [], "reuse": [], "copy": []}}
    line["plan"]["resume"] = [trial | run]
    event = read_event(json.dumps(line) + "\n")
    assert isinstance(event, Planned)
    ((trial, run),) = event.plan.resume
    assert (trial, run.epochs_done) == (NONE_1, 1)
    earlier = {"epoch": 1, "test_accuracy": 0.5, "best_test_accuracy": 0.75, "outcome": None}
    line = {"snn_sweep": "epoch", "time": 1.5, "label": NONE_1.label, "report": earlier}
    told = read_event(json.dumps(line) + "\n")
    assert isinstance(told, EpochDone)
    assert told.report == {"epoch": 1, "value": 0.5, "best": 0.75, "outcome": None}


def test_times_are_those_of_the_events(plan: Plan, monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.StringIO()
    monkeypatch.setattr("time.time", lambda: 1_000_000.0)
    StreamLog(written)(Planned(plan))
    monkeypatch.setattr("time.time", lambda: 2_000_000.0)
    replay = Replay()
    replay.feed(written.getvalue(), LineDisplay(Console(file=io.StringIO()), lambda: replay.time))
    assert replay.time == 1_000_000.0


def test_other_lines_are_notes_and_rays_own_are_left_out() -> None:
    def replayed(watch: LineDisplay) -> None:
        for line in (
            "2026-11-24 18:42:46,835 INFO job_manager.py:581 -- Runtime env is setting up.",
            "Running entrypoint for job sweep-small-1: exec python",
            "",
            "UserWarning: odd",
            '{"snn_sweep": "started", "la',  # cut short
        ):
            Replay().feed(line, watch)

    assert shown(replayed) == 'UserWarning: odd\n{"snn_sweep": "started", "la'


def test_a_file_is_made_with_the_first_event_and_added_to(tmp_path: Path, plan: Plan) -> None:
    path = tmp_path / "a folder" / "events.jsonl"
    FileLog(path)
    assert not path.parent.exists()
    for _ in range(2):
        log = FileLog(path)
        happen(both(log, LineDisplay(Console(file=io.StringIO()))), plan)
    assert len(path.read_text().splitlines()) == 18


def test_a_full_disk_leaves_gaps_in_the_log_and_the_sweep_goes_on(plan: Plan) -> None:
    with pytest.warns(UserWarning, match="an event is missing.*No space left"):
        FileLog(Path("/dev/full"))(Planned(plan))
