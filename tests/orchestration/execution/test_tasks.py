"""The hours that a sweep may still use, by its spec and by its user's limit."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec
from orchestration.execution.ray_process import TrainingJob
from orchestration.execution.trials.tasks import TaskMaker
from orchestration.sweep.plan import make_plan
from services.settings import Settings


def sweep(name: str, **changes: object) -> SweepSpec:
    grid = [{"architecture": "ann", "norm": "none"}]
    content = {"name": name, "dataset": "digits", "epochs": 4, "seeds": [1], "grid": grid}
    return SweepSpec.from_dict({**content, "resources": {"gpu": 1}, **changes})


@pytest.fixture
def uri(sqlite_database: Callable[[], str]) -> str:
    """Two sweeps of alice's with two GPU hours each, and one of bob's."""
    uri = sqlite_database()
    recorder = Recorder(uri)
    for name, user in (("one", "alice"), ("two", "alice"), ("his", "bob")):
        spec = sweep(name)
        experiment, parent = recorder.sweep(name, spec.to_json())
        assert parent is not None
        recorder.client.set_tag(parent, "mlflow.user", user)
        (trial,) = spec.trials()
        hours = {"epoch_seconds": [1800.0] * 4}
        ended = 10 * 3_600_000
        recorder.trial(
            experiment,
            parent,
            RecordedTrial(
                trial.config.given(), [0.5] * 4, key=trial.key, metrics=hours, finished=ended
            ),
        )
    return uri


def left(uri: str, folder: Path, user: str, limits: str, spec: SweepSpec) -> tuple[float, str]:
    file = folder / "limits.yaml"
    file.write_text(limits)
    login = {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": "x"}
    settings = Settings.from_environment(
        {"SNN_SWEEP_HOME": str(folder), "SNN_SWEEP_LIMITS": str(file), **login}
    )
    plan = make_plan(spec.trials(), (), version="")
    job = TrainingJob(spec, settings, uri, "1", "parent", plan, (), frozenset())
    budget = TaskMaker(job).budget(())
    return budget.left, str(budget)


def test_what_the_users_other_sweeps_have_used_is_gone(uri: str, tmp_path: Path) -> None:
    hours, words = left(uri, tmp_path, "alice", "alice: {gpu_hours: 5}", sweep("three"))
    assert hours == pytest.approx(1, rel=0.01)
    assert "GPU hours used, all that alice has left of 5; whoever keeps the cluster can" in words
    assert left(uri, tmp_path, "bob", "bob: {gpu_hours: 5}", sweep("three"))[0] > 2.9
    assert left(uri, tmp_path, "alice", "alice: {gpu_hours: 3}", sweep("three"))[0] == 0


def test_the_budget_of_the_spec_counts_if_it_is_less(uri: str, tmp_path: Path) -> None:
    small = sweep("three", gpu_hours=0.5)
    hours, words = left(uri, tmp_path, "alice", "alice: {gpu_hours: 5}", small)
    assert (hours, words) == (0.5, "0 of 0.5 GPU hours used")


def test_nobody_is_limited_without_a_limit_or_on_processor_cores(uri: str, tmp_path: Path) -> None:
    assert left(uri, tmp_path, "alice", "bob: {gpu_hours: 1}", sweep("three"))[0] == math.inf
    on_cores = sweep("three", resources={"cpu": 1})
    assert left(uri, tmp_path, "alice", "alice: {gpu_hours: 1}", on_cores)[0] == math.inf
