"""A time that no epoch can take decides no estimate, and is said to be there."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from recorded import RecordedTrial, Recorder

from orchestration.execution.trials.planning import plan_with
from orchestration.model.durations import possible_seconds
from orchestration.progress.events import EpochDone, Planned
from orchestration.progress.state import Progress
from orchestration.record.client import connect
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.report.write import write_report
from orchestration.results.deciding.hours import trial_hours
from orchestration.store.open import open_storage
from orchestration.sweep.plan import estimate_seconds
from orchestration.sweep.spec import SweepSpec

SPEC: dict[str, Any] = {
    "name": "times",
    "dataset": "digits",
    "epochs": 2,
    "seeds": [1, 2, 3],
    "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"]}],
}
SAID = "1 run has an impossible epoch_seconds, which is left out"
IMPOSSIBLE = [-1e308, 1e308, -1.0, math.nan, math.inf, 4e7]


@pytest.fixture(params=[-1e308, 1e308])
def uri(sqlite_database: Callable[[], str], request: pytest.FixtureRequest) -> str:
    """A running sweep whose first trial has such a time; the second took 7 s an epoch."""
    uri, spec = sqlite_database(), SweepSpec.from_dict(SPEC)
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(spec.name, spec.to_json())
    assert parent is not None
    recorder.client.set_tag(parent, "snn_sweep.status", "running")
    for trial, seconds in zip(spec.trials()[:2], (request.param, 7.0), strict=True):
        metrics = {"epoch_seconds": [seconds] * 2}
        made = RecordedTrial(trial.config.given(), [0.5, 0.75], key=trial.key, metrics=metrics)
        recorder.trial(experiment, parent, made)
    return uri


def test_an_epoch_takes_from_nothing_to_a_year() -> None:
    assert [possible_seconds(value) for value in (0.0, 7.5, 86_400.0)] == [0.0, 7.5, 86_400.0]
    assert [possible_seconds(value) for value in (None, *IMPOSSIBLE)] == [None] * 7


def test_a_plan_and_the_progress_of_a_sweep_leave_it_out(uri: str, tmp_path: Path) -> None:
    books = SweepRecorder(connect(uri), "times", open_storage(str(tmp_path)))
    plan = plan_with(books, SweepSpec.from_dict(SPEC))
    assert estimate_seconds(plan, 1) == pytest.approx(4 * 2 * 7)
    (warning,) = [one for one in plan.warnings if "epoch_seconds" in one]
    assert warning.startswith(f"{SAID} of estimates: ")
    progress = Progress()
    progress.update(Planned(replace(plan, warnings=())))
    assert progress.seconds_left() == pytest.approx(4 * 2 * 7)
    report = {"epoch": 1, "epoch_seconds": -1e308, "best": 0.5, "outcome": None}
    progress.update(EpochDone(plan.run[0].label, report))
    assert progress.seconds_left() == pytest.approx((4 * 2 - 1) * 7)


@pytest.mark.parametrize("seconds", IMPOSSIBLE)
def test_the_hours_of_decisions_leave_it_out(seconds: float) -> None:
    spec = SweepSpec.from_dict(SPEC)
    assert trial_hours(spec, [(0, seconds, "completed")]) is None
    hours = trial_hours(spec, [(0, seconds, "completed"), (0, 7.0, "completed")])
    assert hours == [pytest.approx(2 * 7 / 3600)] * 2


def test_a_report_has_no_such_minutes(
    uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", uri)
    page = write_report("times", tmp_path / "report").read_text(encoding="utf-8")
    assert not re.search(r"\d{30}", page)
    assert "14.0 seconds of training in all" in page
