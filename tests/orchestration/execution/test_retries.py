"""Which errors count against a trial's retries."""

from __future__ import annotations

import pytest
from ray.exceptions import RayActorError

from orchestration.execution import retries
from orchestration.execution.retries import Retries
from orchestration.execution.worker.attempt import StorageError
from orchestration.execution.worker.within_epoch import PreemptedError


@pytest.fixture
def dead(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The dead nodes; the id of an actor says which node it was on."""
    dead: set[str] = set()
    monkeypatch.setattr(retries, "dead_nodes", lambda: dead)
    monkeypatch.setattr(retries, "node_of", lambda error: error.actor_id)
    return dead


def test_faults_count_and_each_trial_has_its_own(dead: set[str]) -> None:
    assert not dead
    tried = Retries(1)
    assert tried.allow("one", StorageError())
    assert tried.allow("two", StorageError())
    assert not tried.allow("one", RayActorError("a"))


def test_nodes_that_are_lost_or_taken_away_do_not_count(dead: set[str]) -> None:
    tried = Retries(0)
    for number in range(10):
        dead.add(f"node {number}")
        assert tried.allow("key", RayActorError(f"node {number}"))
        assert tried.allow("key", PreemptedError())
        assert tried.allow("key", RayActorError("on a living node", preempted=True))
    assert not tried.allow("key", RayActorError("on a living node"))


def test_a_node_whose_death_is_noticed_later_does_not_count_any_more(dead: set[str]) -> None:
    tried = Retries(1)
    assert tried.allow("key", RayActorError("late"))
    dead.add("late")
    assert tried.allow("key", StorageError())
    assert not tried.allow("key", StorageError())
