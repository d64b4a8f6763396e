"""Which runs count is one rule: plans, tables, exports and decisions name the same runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from commands import USERS_FOLDER
from recorded import RecordedTrial, Recorder

from orchestration.execution.trials.planning import plan_with
from orchestration.execution.trials.seed_allocator import SeedAllocator
from orchestration.model.counting_runs import runs_that_count
from orchestration.model.run import has_result
from orchestration.model.trial import Trial
from orchestration.record.client import connect
from orchestration.record.exchange import export_sweep
from orchestration.record.sweep_recorder import SweepRecorder
from orchestration.results.results import Results
from orchestration.store.open import open_storage
from orchestration.sweep.spec import SweepSpec

SPEC: dict[str, Any] = {
    "name": "doubled",
    "dataset": "digits",
    "epochs": 2,
    "seeds": [42, 123],
    "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"]}],
}
UNTIL_DECIDED = {
    **SPEC,
    "seeds": {"until": "decided", "alpha": 0.05, "at_most": 8},
    "compare": [{"norm": ["batchnorm", "none"]}],
}


OWN: dict[str, Any] = {
    "name": "own",
    "train": "own_runs:Fit",
    "epochs": 3,
    "seeds": [1, 2],
    "grid": [{"method": ["baseline", "ours"], "rate": 0.1}],
    "metric": {"name": "val_error", "goal": "minimize"},
}


class Recorded:
    """A sweep's record, with what each part of the program says of it."""

    def __init__(self, uri: str, folder: Path, spec: dict[str, Any] = SPEC) -> None:
        self.spec = SweepSpec.from_dict(spec)
        self.trials: list[Trial] = self.spec.trials()
        self.uri = uri
        self._recorder = Recorder(uri)
        self._experiment, self._parent = self._recorder.sweep(self.spec.name, self.spec.to_json())
        self.books = SweepRecorder(connect(uri), self.spec.name, open_storage(str(folder)))

    def add(self, trial: Trial, accuracy: float, **more: Any) -> str:
        config = {"key": trial.key, **more}
        made = RecordedTrial(trial.config.given(), [accuracy], **config)
        return self._recorder.trial(self._experiment, self._parent, made)

    def planned(self) -> dict[str, str]:
        plan = plan_with(self.books, self.spec)
        return {trial.label: run.run_id for trial, run in plan.reuse}

    def in_tables(self) -> set[str]:
        return set(Results(self.spec.name, tracking_uri=self.uri).by_seed()["run_id"])


def test_the_run_that_finished_first_counts_whatever_the_order() -> None:
    runs = [("t", "b", 1, 20), ("t", "a", 2, 10), ("u", "c", 1, None), ("u", "d", 9, 30)]
    assert runs_that_count(runs) == {"t": "a", "u": "d"}
    assert runs_that_count(reversed(runs)) == {"t": "a", "u": "d"}
    same_end = [("t", "b", 2, 10), ("t", "c", 1, 10), ("t", "a", 2, 10)]
    assert runs_that_count(same_end) == {"t": "c"}
    assert runs_that_count([same_end[0], same_end[2]]) == {"t": "a"}


def test_a_run_that_does_not_say_how_its_trial_ended_has_no_result() -> None:
    assert has_result("FINISHED", "collapsed")
    assert not has_result("FINISHED", None)
    assert not has_result("RUNNING", "completed")


def test_of_two_finished_runs_plan_table_and_export_name_the_same(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    sweep = Recorded(sqlite_database(), tmp_path)
    sweep.add(sweep.trials[0], 0.25, finished=9_000_000)  # started first
    counts = sweep.add(sweep.trials[0], 0.75, finished=8_000_000)
    assert sweep.planned() == {sweep.trials[0].label: counts}
    assert sweep.in_tables() == {counts}
    exported = export_sweep(connect(sweep.uri), sweep.spec.name).trials
    assert [trial.run_id for trial in exported] == [counts]


def test_decisions_rest_on_the_run_that_counts(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    sweep = Recorded(sqlite_database(), tmp_path, UNTIL_DECIDED)
    late = sweep.add(sweep.trials[0], 0.25, finished=9_000_000)
    counts = sweep.add(sweep.trials[0], 0.75, finished=8_000_000)
    runs = sweep.books.recorded_for(sweep.spec)
    assert [run.run_id for run in runs] == [late, counts]
    allocator = SeedAllocator(sweep.spec, runs)
    assert allocator._ended[sweep.trials[0].key] == (0.75, "completed")


def test_a_finished_run_that_has_lost_its_key_counts_in_the_plan_as_in_the_table(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    sweep = Recorded(sqlite_database(), tmp_path)
    lost = sweep.add(sweep.trials[0], 0.75)
    kept = sweep.add(sweep.trials[1], 0.5)
    connect(sweep.uri).delete_tag(lost, "snn_sweep.trial_key")
    assert sweep.in_tables() == {lost, kept}
    assert sweep.planned() == {sweep.trials[0].label: lost, sweep.trials[1].label: kept}


def test_so_does_one_of_training_code_of_the_users_own(
    sqlite_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(USERS_FOLDER)
    sweep = Recorded(sqlite_database(), tmp_path, OWN)
    lost = sweep.add(sweep.trials[0], 0.75, metrics={"val_error": [0.5] * 3})
    connect(sweep.uri).delete_tag(lost, "snn_sweep.trial_key")
    assert sweep.in_tables() == {lost}
    assert sweep.planned() == {sweep.trials[0].label: lost}


def test_a_run_that_was_ended_by_hand_counts_in_neither(
    sqlite_database: Callable[[], str], tmp_path: Path
) -> None:
    sweep = Recorded(sqlite_database(), tmp_path)
    sweep.add(sweep.trials[0], 0.75, outcome=None)
    counts = sweep.add(sweep.trials[1], 0.5)
    assert sweep.in_tables() == {counts}
    assert sweep.planned() == {sweep.trials[1].label: counts}
