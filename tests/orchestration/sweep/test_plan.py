from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from specs import spec

from orchestration.model.run import TrialRun
from orchestration.model.trial import Trial
from orchestration.sweep.plan import Plan, estimate_seconds, make_plan
from orchestration.sweep.spec import SweepSpec

GRID = [
    {"architecture": "ann", "norm": ["none", "batchnorm"]},
    {"architecture": "snn", "norm": "bntt"},
]
SPEC = SweepSpec.from_dict(spec(epochs=10, grid=GRID))
TRIALS = SPEC.trials()
FIRST = TRIALS[0]


def run(run_id: str, trial: Trial | None = FIRST, **changes: Any) -> TrialRun:
    """A run that completed, with changes; of no wanted trial if ``trial`` is None."""
    values: dict[str, Any] = {
        "trial_key": trial.key if trial else "0" * 16,
        "status": "FINISHED",
        "outcome": "completed",
        "epochs_done": 10,
        "epoch_seconds": 2.0,
        "version": "1.0",
        "resumable": True,
    }
    return TrialRun(run_id, **(values | changes))


def open_run(
    run_id: str, status: str = "RUNNING", epochs_done: int = 3, **changes: Any
) -> TrialRun:
    """A run that was interrupted."""
    return run(run_id, status=status, outcome=None, epochs_done=epochs_done, **changes)


def plan(*recorded: TrialRun, trials: list[Trial] = TRIALS) -> Plan:
    return make_plan(trials, recorded, version="1.0")


def resumed(made: Plan) -> list[str]:
    return [run.run_id for _, run in made.resume]


def closed(made: Plan) -> dict[str, str]:
    return {one.run.run_id: one.reason for one in made.close}


def test_without_records_everything_runs_in_the_spec_s_order() -> None:
    made = plan()
    assert list(made.run) == TRIALS
    assert (made.resume, made.reuse, made.close, made.warnings) == ((), (), (), ())


def test_a_finished_trial_is_reused_and_the_rest_runs() -> None:
    made = plan(run("a"))
    assert [(trial, run.run_id) for trial, run in made.reuse] == [(FIRST, "a")]
    assert list(made.run) == TRIALS[1:]
    assert made.warnings == ()


@pytest.mark.parametrize("outcome", ["collapsed", "diverged"])
def test_a_collapse_is_a_result(outcome: str) -> None:
    assert len(plan(run("a", outcome=outcome)).reuse) == 1


@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED"])
def test_an_unfinished_run_goes_on(status: str) -> None:
    made = plan(open_run("a", status))
    assert resumed(made) == ["a"]
    assert made.close == ()
    assert list(made.run) == TRIALS[1:]


def test_a_run_ended_by_hand_without_an_outcome_goes_on() -> None:
    assert resumed(plan(run("a", outcome=None))) == ["a"]


def test_of_several_unfinished_runs_the_furthest_goes_on_and_open_ones_are_closed() -> None:
    made = plan(
        open_run("a", epochs_done=3), open_run("b", epochs_done=5), open_run("c", "KILLED", 4)
    )
    assert resumed(made) == ["b"]
    assert closed(made) == {"a": "run b of the same trial is continued instead"}


def test_of_equally_far_runs_the_later_goes_on() -> None:
    assert resumed(plan(open_run("a"), open_run("b"), open_run("c", epochs_done=2))) == ["b"]


def test_an_open_run_beside_a_finished_one_is_closed() -> None:
    made = plan(open_run("a"), run("b"), open_run("c", "FAILED"))
    assert [run.run_id for _, run in made.reuse] == ["b"]
    assert made.resume == ()
    assert closed(made) == {"a": "run b of the same trial has finished"}


def test_an_open_run_of_a_trial_no_longer_wanted_is_closed() -> None:
    made = plan(
        open_run("a", trial=None), open_run("b", "KILLED", trial=None), run("c", trial=None)
    )
    assert closed(made) == {"a": "its writer is gone, and the spec no longer wants the trial"}
    assert len(made.run) == len(TRIALS)


def test_of_two_finished_runs_the_earlier_counts() -> None:
    made = plan(run("a"), run("b"), run("c"))
    assert [run.run_id for _, run in made.reuse] == ["a"]
    assert [one.run_id for one in made.superfluous] == ["b", "c"]
    assert made.warnings == (
        "2 runs finished for a trial that had already finished (b, c): "
        "only the run that finished first counts",
    )


def test_runs_of_another_version_are_used_with_a_warning() -> None:
    made = plan(
        run("a", version="0.9"),
        run("b", TRIALS[1], version="0.9"),
        run("c", TRIALS[2], version=None),
        open_run("d", trial=TRIALS[3], version="0.8"),
        run("e", TRIALS[4]),
    )
    assert len(made.reuse) == 4
    assert made.warnings == (
        "reusing 2 runs made by version 0.9 (this is version 1.0): "
        "their numbers may differ from those of new runs; --fresh runs all trials again",
        "reusing 1 run made by version unknown (this is version 1.0): "
        "their numbers may differ from those of new runs; --fresh runs all trials again",
        "resuming 1 run made by version 0.8 (this is version 1.0): "
        "their numbers may differ from those of new runs; --fresh runs all trials again",
    )


_recorded = st.lists(
    st.builds(
        TrialRun,
        run_id=st.uuids().map(str),
        trial_key=st.sampled_from([*(trial.key for trial in TRIALS), "0" * 16]),
        status=st.sampled_from(["RUNNING", "FINISHED", "FAILED", "KILLED"]),
        outcome=st.sampled_from([None, "completed", "collapsed"]),
        epochs_done=st.integers(0, 10),
        epoch_seconds=st.none() | st.floats(0, 100),
        version=st.sampled_from([None, "1.0", "2.0"]),
    ),
    max_size=20,
    unique_by=lambda one: one.run_id,
)


@given(_recorded)
def test_each_trial_is_in_one_place_and_no_run_stays_open(recorded: list[TrialRun]) -> None:
    made = plan(*recorded)
    places = [*made.to_train, *(trial for trial, _ in made.reuse)]
    assert sorted(trial.key for trial in places) == sorted(trial.key for trial in TRIALS)
    for trial, run in (*made.resume, *made.reuse):
        assert run.trial_key == trial.key
    goes_on = {run.run_id for _, run in made.resume}
    ends = [one.run.run_id for one in made.close]
    still_open = {one.run_id for one in recorded if one.status == "RUNNING"}
    taken = goes_on | {run.run_id for _, run in made.reuse}
    assert sorted(ends) == sorted(still_open - taken)
    seconds = estimate_seconds(made, 2)
    assert seconds is None or seconds >= 0
    json.dumps(made.to_dict())


# Time


def test_no_record_no_estimate() -> None:
    assert estimate_seconds(plan(), 2) is None


def test_nothing_to_do_takes_no_time() -> None:
    made = plan(*(run(str(number), trial) for number, trial in enumerate(TRIALS)))
    assert estimate_seconds(made, 2) == 0


def test_an_architecture_without_records_is_estimated_by_its_cost() -> None:
    made = plan(run("a", epoch_seconds=1.0))
    # ann none once and ann batchnorm twice; an epoch of the spiking network costs 25 times as much.
    assert estimate_seconds(made, 1) == 10 * (1 + 2 * 1 + 2 * 25)


def test_an_epoch_takes_as_long_as_in_its_cell_else_its_architecture() -> None:
    made = plan(
        run("a", TRIALS[0], epoch_seconds=1.0),  # ann none
        run("b", TRIALS[4], epoch_seconds=10.0),  # snn bntt
    )
    # ann none: 1 s; ann batchnorm twice: 1 s by architecture; snn bntt: 10 s.
    assert estimate_seconds(made, 1) == 10 * (1 + 1 + 1 + 10)


def test_cells_of_one_architecture_are_told_apart() -> None:
    made = plan(
        run("a", TRIALS[0], epoch_seconds=1.0),
        run("b", TRIALS[2], epoch_seconds=3.0),
        trials=TRIALS[:4],
    )
    assert estimate_seconds(made, 1) == 10 * (1 + 3)


def test_a_resumed_trial_takes_the_rest_of_its_epochs() -> None:
    assert estimate_seconds(plan(open_run("a", epochs_done=7), trials=[FIRST]), 1) == 3 * 2.0


def test_slots_work_side_by_side_the_longest_trials_first() -> None:
    trials = TRIALS[1:6]
    recorded = [
        run("a", TRIALS[0], epoch_seconds=1.0),
        open_run("b", trial=TRIALS[4], epoch_seconds=3.0, epochs_done=0),
    ]
    made = plan(*recorded, trials=[TRIALS[0], *trials])
    # 30 and 30 (snn) beside 10, 10 and 10 (ann).
    assert estimate_seconds(made, 2) == 50
    assert estimate_seconds(made, 3) == 30
    assert estimate_seconds(made, 100) == 30


def test_the_plan_as_plain_data() -> None:
    made = plan(run("a"), open_run("b", trial=TRIALS[1]), open_run("c", trial=None), run("d"))
    data = json.loads(json.dumps(made.to_dict()))
    assert [one["label"] for one in data["run"]] == [trial.label for trial in TRIALS[2:]]
    assert data["run"][0]["trial_key"] == TRIALS[2].key
    assert data["run"][0]["config"] == TRIALS[2].config.given()
    assert [(one["run_id"], one["outcome"]) for one in data["reuse"]] == [("a", "completed")]
    assert [(one["run_id"], one["epochs_done"]) for one in data["resume"]] == [("b", 3)]
    assert [one["run_id"] for one in data["close"]] == ["c"]
    assert [one["run_id"] for one in data["superfluous"]] == ["d"]
    assert len(data["warnings"]) == 1


def test_a_run_whose_checkpoint_is_gone_is_closed_and_its_trial_runs_anew() -> None:
    lost = open_run("lost", resumable=False)
    made = plan(lost)
    assert FIRST in made.run
    assert not made.resume
    assert [(one.run, one.reason) for one in made.close] == [
        (lost, "its writer is gone, and so is its checkpoint")
    ]


def test_a_run_with_a_checkpoint_goes_on_although_another_came_further() -> None:
    made = plan(open_run("kept", epochs_done=2), open_run("lost", epochs_done=5, resumable=False))
    assert [run.run_id for _, run in made.resume] == ["kept"]
    assert [one.run.run_id for one in made.close] == ["lost"]


def test_a_trial_that_another_sweep_has_finished_is_copied_from_its_earliest_run() -> None:
    elsewhere = [
        run("failed", TRIALS[1], status="FAILED", outcome=None),
        run("early", TRIALS[1], version="0.9"),
        run("late", TRIALS[1]),
        run("not needed"),
    ]
    made = make_plan(
        TRIALS, [run("own"), open_run("begun", trial=TRIALS[1])], version="1.0", elsewhere=elsewhere
    )
    assert [run.run_id for _, run in made.reuse] == ["own"]
    assert [(trial, run.run_id) for trial, run in made.copy] == [(TRIALS[1], "early")]
    assert closed(made) == {"begun": "run early of the same trial has finished elsewhere"}
    assert made.run == tuple(TRIALS[2:])
    assert made.warnings[0].startswith("reusing 1 run made by version 0.9")
    assert json.loads(json.dumps(made.to_dict()))["copy"][0]["run_id"] == "early"


def test_fresh_makes_every_trial_anew_and_replaces_what_there_is() -> None:
    recorded = [run("finished"), open_run("begun", trial=TRIALS[1]), run("other", None)]
    made = make_plan(TRIALS, recorded, version="1.0", fresh=True)
    assert made.run == tuple(TRIALS)
    assert [one.run_id for one in made.replace] == ["finished", "begun"]
    assert closed(made) == {"begun": "its trial is run again"}
    assert made.reuse == made.resume == made.copy == ()
