"""Sweeps that run at once on a Ray cluster, with short trials of the user's own training code."""

from __future__ import annotations

import signal
from typing import Any

import pytest
from commands import Commands, finish, wait_until
from mlflow import MlflowClient
from node_cluster import cluster_of_a_head

from orchestration.record.client import runs_of_role

SLOTS = 4
SECONDS = 4.0

SPEC: dict[str, Any] = {
    "train": "own_runs:brief",
    "grid": [{"seconds": [SECONDS]}],
    "metric": {"name": "val_error", "goal": "minimize"},
    "keep": "none",
}


def trials(client: MlflowClient, name: str) -> list[tuple[float, float]]:
    """When the trials of a sweep began and ended, the earliest first; inf if one runs."""
    experiment = client.get_experiment_by_name(name)
    runs = runs_of_role(client, [experiment.experiment_id], "trial") if experiment else ()
    return [
        (run.info.start_time / 1000, (run.info.end_time or float("inf")) / 1000) for run in runs
    ]


def share(client: MlflowClient, name: str, other: str) -> float:
    """The share of a sweep in the slots while both had more trials than slots."""
    begins = [begin for begin, _ in trials(client, name)]
    start, end = begins[2 * SLOTS], begins[-SLOTS]
    assert end - start > 30

    def used(sweep: str) -> float:
        return sum(
            max(0.0, min(stop, end) - max(begin, start)) for begin, stop in trials(client, sweep)
        )

    return used(name) / (used(name) + used(other))


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(1200)
def test_shares_of_two_sweeps_are_those_of_their_priorities(
    commands: Commands, client: MlflowClient
) -> None:
    def start(name: str, trials: int, priority: float) -> Any:
        given = {"seeds": list(range(trials)), "resources": {"priority": priority}}
        return commands.start("run", commands.spec(name, SPEC | given)[1])

    with cluster_of_a_head() as cluster:
        cluster.add_node(num_cpus=SLOTS)
        commands.environment["RAY_ADDRESS"] = cluster.address
        first = start("fair-first", 1000, 1.0)
        wait_until(lambda: len(trials(client, "fair-first")) >= 2 * SLOTS)
        told = finish(start("fair-equal", 40, 1.0), 0)
        assert "waiting for its share: 2 of 4 slots, 1 other sweep" in told
        equal = share(client, "fair-equal", "fair-first")
        finish(start("fair-urgent", 60, 3.0), 0)
        urgent = share(client, "fair-urgent", "fair-first")
        first.send_signal(signal.SIGINT)
        finish(first, 130)
    assert equal == pytest.approx(1 / 2, rel=0.1)
    assert urgent == pytest.approx(3 / 4, rel=0.1)
