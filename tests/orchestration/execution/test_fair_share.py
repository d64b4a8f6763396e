"""The shares of sweeps that run on one cluster at once, with a clock and a cluster of the test."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import pytest

from orchestration.execution.trials.fair_share import Claim, FairShare, slots_of
from orchestration.progress.events import Event, Note

MANY = Claim(priority=1.0, cpu=1.0, gpu=0.0, wanted=1000, held=0)


def slots(*claims: Claim, cpus: float = 8.0, gpus: float = 0.0) -> list[int]:
    return [*slots_of({str(i): claim for i, claim in enumerate(claims)}, cpus, gpus).values()]


def test_slots_follow_priorities_and_what_one_cannot_use_goes_to_the_others() -> None:
    assert slots(MANY, MANY) == [4, 4]
    assert slots(MANY, replace(MANY, priority=3.0)) == [2, 6]
    assert slots(MANY, replace(MANY, wanted=1), MANY, cpus=9.0) == [4, 1, 4]
    assert slots(MANY, replace(MANY, wanted=0)) == [8, 0]


def test_a_sweep_on_gpus_and_one_without_take_nothing_from_each_other() -> None:
    on_gpu = replace(MANY, gpu=1.0)
    assert slots(on_gpu, MANY, cpus=32.0, gpus=4.0) == [4, 28]
    half = replace(MANY, gpu=0.5)
    assert slots(on_gpu, half, cpus=16.0, gpus=4.0) == [2, 4]


def test_a_sweep_that_the_cluster_cannot_run_leaves_it_to_the_others() -> None:
    assert slots(replace(MANY, gpu=1.0), MANY) == [0, 8]


class Claims:
    """The board of one sweep."""

    def __init__(self, name: str, cluster: Cluster) -> None:
        self.name, self.cluster = name, cluster

    def publish(self, claim: Claim) -> None:
        self.cluster.claims[self.name] = claim

    def others(self) -> dict[str, Claim]:
        return {name: claim for name, claim in self.cluster.claims.items() if name != self.name}

    def resources(self) -> tuple[float, float]:
        return self.cluster.cpus, 0.0


@dataclass
class Cluster:
    """Its trials take their seconds and are never interrupted; whoever is first takes a slot."""

    cpus: float
    now: float = 0.0
    claims: dict[str, Claim] = field(default_factory=dict)
    ends: dict[str, list[float]] = field(default_factory=dict)
    used: Counter[str] = field(default_factory=Counter)
    shares: dict[str, FairShare] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def add(
        self, name: str, priority: float = 1.0, user: str = "", most: int | None = None
    ) -> None:
        def watch(event: Event) -> None:
            assert isinstance(event, Note)
            self.notes.append(event.text)

        self.shares[name] = FairShare(
            priority, Claims(name, self), watch, lambda: self.now, user=user, most=most
        )
        self.ends[name] = []

    def run(
        self, seconds: int, trial: dict[str, float], wanted: dict[str, int] | None = None
    ) -> None:
        """Run for so many seconds, with trials of these lengths."""
        until = self.now + seconds
        while self.now < until:
            self.now += 1.0
            for name, share in self.shares.items():
                running = self.ends[name] = [end for end in self.ends[name] if end > self.now]
                most = (wanted or {}).get(name, 1000)
                may_run = share.slots(1.0, 0.0, len(running), most)
                free = int(self.cpus) - sum(map(len, self.ends.values()))
                for _ in range(min(free, (most if may_run is None else may_run) - len(running))):
                    running.append(self.now + trial[name])
                self.used[name] += len(running)


@pytest.mark.parametrize(
    ("cpus", "priorities", "seconds"),
    [
        (8, {"a": 1.0, "b": 1.0}, {"a": 30.0, "b": 30.0}),
        (8, {"a": 1.0, "b": 3.0}, {"a": 30.0, "b": 100.0}),
        (8, {"a": 1.0, "b": 1.0}, {"a": 7.0, "b": 400.0}),
        (3, {"a": 1.0, "b": 1.0}, {"a": 30.0, "b": 30.0}),
        (2, {"a": 1.0, "b": 3.0}, {"a": 30.0, "b": 30.0}),
        (2, {"a": 1.0, "b": 1.0, "c": 1.0}, {"a": 20.0, "b": 30.0, "c": 40.0}),
        (1, {"a": 1.0, "b": 2.0}, {"a": 30.0, "b": 30.0}),
    ],
)
def test_shares_of_an_hour_are_those_of_the_priorities(
    cpus: int, priorities: dict[str, float], seconds: dict[str, float]
) -> None:
    cluster = Cluster(cpus)
    first, *others = priorities
    cluster.add(first, priorities[first])
    cluster.run(1000, seconds)  # it has the cluster to itself
    assert cluster.used[first] == pytest.approx(1000 * cpus, rel=0.01)
    for name in others:
        cluster.add(name, priorities[name])
    cluster.run(600, seconds)
    cluster.used.clear()
    cluster.run(3600, seconds)
    assert cluster.used.total() > 0.94 * 3600 * cpus  # a slot that passes on is idle for 5 s
    for name, priority in priorities.items():
        wanted = priority / sum(priorities.values())
        assert cluster.used[name] / cluster.used.total() == pytest.approx(wanted, rel=0.1)
    assert f"{len(others)} other sweep" in " ".join(cluster.notes)


def test_a_sweep_does_not_make_up_for_time_in_which_it_wanted_little() -> None:
    cluster = Cluster(4)
    cluster.add("a")
    cluster.add("b")
    seconds = {"a": 10.0, "b": 10.0}
    cluster.run(3600, seconds, {"b": 1})
    assert cluster.used["b"] == pytest.approx(3600, rel=0.05)
    cluster.used.clear()
    cluster.run(300, seconds)
    assert cluster.used["a"] == pytest.approx(600, rel=0.15)


def test_a_sweep_alone_has_no_limit_and_says_nothing() -> None:
    cluster = Cluster(4)
    cluster.add("a")
    cluster.run(100, {"a": 10.0})
    assert cluster.shares["a"].slots(1.0, 0.0, 4, 1000) is None
    assert cluster.notes == []


def test_waiting_for_the_share_is_said_once_and_its_end_too() -> None:
    cluster = Cluster(4)
    cluster.add("a")
    cluster.add("b")
    cluster.run(200, {"a": 10.0, "b": 10.0})
    words = "waiting for its share: 2 of 4 slots, 1 other sweep"
    assert cluster.notes == [words, words]  # of each of the two
    del cluster.shares["b"], cluster.claims["b"], cluster.ends["b"]
    cluster.run(100, {"a": 10.0})
    assert cluster.notes[2:] == ["no longer waiting"]


def test_the_trials_of_a_user_are_limited_over_all_of_his_sweeps() -> None:
    cluster = Cluster(8)
    cluster.add("a", user="alice", most=3)
    seconds = {"a": 10.0, "b": 10.0, "c": 10.0}
    cluster.run(200, seconds)
    assert cluster.used["a"] == pytest.approx(3 * 200, rel=0.05)
    assert cluster.notes == [
        "waiting: alice may run 3 trials at once on this cluster. Whoever keeps it can raise this "
        "limit"
    ]
    cluster.add("b", user="alice", most=3)
    cluster.add("c", user="bob")
    cluster.run(300, seconds)
    cluster.used.clear()
    cluster.run(1000, seconds)
    assert cluster.used["a"] + cluster.used["b"] == pytest.approx(3 * 1000, rel=0.05)
    assert min(cluster.used["a"], cluster.used["b"]) > 900
    assert cluster.used["c"] == pytest.approx(5 * 1000, rel=0.05)  # the others are not reserved


def test_a_limit_holds_where_no_claims_can_be_published() -> None:
    share = FairShare(1.0, None, lambda _: None, user="alice", most=3)
    assert share.slots(1.0, 0.0, 0, 10) == 3
