"""Training code of the user's own is struck: what is promised of ours holds for it."""

from __future__ import annotations

import pytest
from commands import undisturbed_numbers, wait_until, workers_of
from laboratory import EPOCHS, SEEDS, SLOTS, StruckSweep

from orchestration import SweepSpec

SPEC = {
    "epochs": EPOCHS,
    "seeds": list(range(SEEDS)),
    "grid": [{"rate": 0.05}],
    "metric": {"name": "val_error", "goal": "minimize"},
    "retries": 3,
}


pytestmark = pytest.mark.slow


def of(sweep: StruckSweep, name: str) -> StruckSweep:
    """The sweep, of this training code. It makes as many steps as ours passes through layers."""
    sweep.content = {**SPEC, "train": f"own_runs:{name}"}
    sweep.undisturbed = undisturbed_numbers(SweepSpec.from_dict({"name": "here", **sweep.content}))
    return sweep


def test_own_run_whose_worker_is_killed(sweep: StruckSweep) -> None:
    process = of(sweep, "Fit").start()
    sweep.wait_for_a_moment(process)
    wait_until(lambda: workers_of(process) != [])
    sweep.random.choice(workers_of(process)).kill()
    sweep.finish(process)
    sweep.check(most_epochs_again=1)


def test_own_run_whose_driver_is_killed(sweep: StruckSweep) -> None:
    process = of(sweep, "Fit").start()
    sweep.wait_for_a_moment(process)
    process.kill()
    sweep.finish(process)
    sweep.check(most_epochs_again=SLOTS * 2)


def test_generator_without_a_state_whose_worker_is_killed(sweep: StruckSweep) -> None:
    """It begins again, and nothing of it is recorded twice."""
    process = of(sweep, "forgetful").start()
    sweep.wait_for_a_moment(process)
    wait_until(lambda: workers_of(process) != [])
    sweep.random.choice(workers_of(process)).kill()
    sweep.finish(process)
    sweep.check(most_epochs_again=EPOCHS)
