"""Ray's private state of its nodes, and of its drivers' claims, on the installed Ray."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import psutil
import pytest
import ray
from commands import wait_until
from node_cluster import announce_end, cluster_of_a_head
from ray.cluster_utils import Cluster
from ray.exceptions import RayActorError

from orchestration.execution.ray_board import RayBoard
from orchestration.execution.ray_nodes import (
    dead_nodes,
    node_of,
    nodes_dead_without_notice,
    seconds_left,
)
from orchestration.execution.trials.fair_share import Claim

OTHER_DRIVER = """
import ray, sys, time
from orchestration.execution.ray_board import RayBoard
from orchestration.execution.trials.fair_share import Claim
ray.init(address=sys.argv[1], logging_level="error", log_to_driver=False)
RayBoard().publish(Claim(priority=2.0, cpu=1.0, gpu=0.5, wanted=7, held=1, used=3.5))
time.sleep(600)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with cluster_of_a_head() as cluster:
        try:
            cluster.add_node(num_cpus=1)
            ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()


@pytest.fixture
def worker(cluster: Cluster) -> Any:
    """An actor on a node; its class is local, as Ray then sends it to the node."""
    assert cluster.head_node is not None

    class Worker:
        def node(self) -> str:
            return str(ray.get_runtime_context().get_node_id())

        def seconds_left(self) -> float | None:
            return seconds_left()

        def wait(self) -> None:
            time.sleep(600)

        def kill_node(self) -> None:
            raylet = psutil.Process().parent()
            assert raylet is not None
            assert raylet.name() == "raylet"
            raylet.kill()
            time.sleep(600)

    return ray.remote(num_cpus=1)(Worker).remote()


def error_of(reference: Any) -> RayActorError:
    with pytest.raises(RayActorError) as found:
        ray.get(reference, timeout=120)
    return found.value


@pytest.mark.parametrize("seconds", [120, 30, 0])
def test_a_drain_says_how_many_seconds_are_left(
    cluster: Cluster, worker: Any, seconds: int
) -> None:
    node = ray.get(worker.node.remote())
    assert ray.get(worker.seconds_left.remote()) is None
    (one,) = [one for one in cluster.worker_nodes if one.node_id == node]
    announce_end(cluster, one.node_id, seconds)
    left = ray.get(worker.seconds_left.remote())
    assert seconds - 20 < left <= seconds
    assert seconds_left() is None, "another node is taken away"
    waiting = worker.wait.remote()
    cluster.remove_node(one, allow_graceful=False)
    cluster.add_node(num_cpus=1)
    error = error_of(waiting)
    assert error.preempted
    assert node_of(error) == node
    wait_until(lambda: node in dead_nodes())
    # One that dies before its time counts as one without notice.
    assert (node in nodes_dead_without_notice()) == (seconds > 0)


def test_a_node_that_dies_without_notice(cluster: Cluster, worker: Any) -> None:
    node = ray.get(worker.node.remote())
    assert node not in dead_nodes()
    error = error_of(worker.kill_node.remote())
    assert not error.preempted
    assert node_of(error) == node
    wait_until(lambda: node in dead_nodes())
    assert node in nodes_dead_without_notice()
    cluster.add_node(num_cpus=1)


def test_a_process_that_dies_leaves_its_node(worker: Any) -> None:
    node = ray.get(worker.node.remote())
    waiting = worker.wait.remote()
    ray.kill(worker)
    assert node_of(error_of(waiting)) == node
    assert node not in dead_nodes()


def test_the_claim_of_another_driver_counts_until_it_dies(cluster: Cluster) -> None:
    board = RayBoard()
    board.publish(Claim(priority=1.0, cpu=1.0, gpu=0.0, wanted=2, held=0))
    assert board.others() == {}
    other = subprocess.Popen([sys.executable, "-c", OTHER_DRIVER, cluster.address])
    try:
        wait_until(lambda: bool(board.others()))
        (claim,) = board.others().values()
        assert claim == Claim(priority=2.0, cpu=1.0, gpu=0.5, wanted=7, held=1, used=3.5)
    finally:
        other.kill()
        other.wait()
    wait_until(lambda: board.others() == {})
    cpus, gpus = board.resources()
    assert (cpus > 0, gpus) == (True, 0)
    board.withdraw()
