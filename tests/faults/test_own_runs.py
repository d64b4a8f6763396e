"""Training code of the user's own is struck: what is promised of ours holds for it."""

from __future__ import annotations

import pytest
from commands import undisturbed_models, undisturbed_numbers
from laboratory import EPOCHS, SEEDS, SLOTS, StruckSweep
from strikes import kill_driver, kill_worker, lose_replies, take_server_away

from orchestration import SweepSpec

SPEC = {
    "epochs": EPOCHS,
    "seeds": list(range(SEEDS)),
    "grid": [{"rate": 0.05, "hidden": [[8, 8]]}],
    "metric": {"name": "val_error", "goal": "minimize"},
    "retries": 3,
}
_STEPS = 24
"""Of an epoch of each of these."""

pytestmark = pytest.mark.slow


def of(sweep: StruckSweep, *names: str) -> StruckSweep:
    """The sweep, of this training code, or of one of several; its trials leave models."""
    train = f"own_runs:{sweep.random.choice(names)}"
    sweep.content = {**SPEC, "train": train, "keep": sweep.random.choice(["best", "last"])}
    sweep.passes_a_trial, sweep.passes_an_epoch = EPOCHS * _STEPS, _STEPS
    spec = SweepSpec.from_dict({"name": "here", **sweep.content})
    sweep.undisturbed = undisturbed_numbers(spec)
    sweep.models = undisturbed_models(spec)
    return sweep


@pytest.mark.release
def test_own_run_whose_worker_is_killed(sweep: StruckSweep) -> None:
    kill_worker(of(sweep, "Fit", "seeded"))
    sweep.check(most_epochs_again=1)


def test_own_run_whose_driver_is_killed(sweep: StruckSweep) -> None:
    kill_driver(of(sweep, "Fit", "seeded"))
    # Its workers end a moment after it, so the same command may find them still at work.
    sweep.check(most_epochs_again=SLOTS * 2)


@pytest.mark.release
def test_own_run_while_the_tracking_server_is_away(sweep: StruckSweep) -> None:
    take_server_away(of(sweep, "Fit", "seeded"), 20)
    sweep.check(most_epochs_again=0)


@pytest.mark.release
def test_own_run_whose_replies_are_lost(sweep: StruckSweep) -> None:
    lose_replies(of(sweep, "Fit", "seeded"))
    sweep.check(most_epochs_again=0)


@pytest.mark.release
def test_generator_without_a_state_whose_worker_is_killed(sweep: StruckSweep) -> None:
    """It begins again, and nothing of it is recorded twice."""
    kill_worker(of(sweep, "forgetful"))
    sweep.check(most_epochs_again=EPOCHS)


@pytest.mark.release
def test_generator_without_a_state_whose_driver_is_killed(sweep: StruckSweep) -> None:
    kill_driver(of(sweep, "forgetful"))
    sweep.check(most_epochs_again=SLOTS * (EPOCHS + 1))


@pytest.mark.release
def test_generator_without_a_state_whose_replies_are_lost(sweep: StruckSweep) -> None:
    lose_replies(of(sweep, "forgetful"))
    sweep.check(most_epochs_again=0)
