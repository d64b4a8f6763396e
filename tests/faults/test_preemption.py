"""Nodes that are taken away, with notice and without."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from commands import wait_until
from laboratory import SLOTS, StruckSweep
from node_cluster import RAY, announce_end, cluster_of_a_head
from ray._private.node import Node
from ray.cluster_utils import Cluster

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(sweep: StruckSweep, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head without trials, to which the sweep connects; the test adds the nodes for them."""
    # Workers have the environment of their node, not of the driver.
    monkeypatch.setenv("OWN_CODE_COUNT", sweep.commands.environment["OWN_CODE_COUNT"])
    with cluster_of_a_head() as cluster:
        sweep.commands.environment["RAY_ADDRESS"] = cluster.address
        yield cluster


def take_away(cluster: Cluster, node: Node, until: float) -> None:
    """Kill what is left of a node at this time; one whose trials have left ends by itself."""
    wait_until(lambda: time.monotonic() >= until or bool(node.dead_processes()))
    cluster.remove_node(node, allow_graceful=False)


@pytest.mark.parametrize(
    "seconds", [120, *(pytest.param(s, marks=pytest.mark.release) for s in (30, 0))]
)
def test_node_taken_away_with_notice(sweep: StruckSweep, cluster: Cluster, seconds: int) -> None:
    sweep.row.fault += f" of {seconds} s"
    nodes = [cluster.add_node(num_cpus=1) for _ in range(SLOTS)]
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    node = sweep.random.choice(nodes)
    announce_end(cluster, node.node_id, seconds)
    take_away(cluster, node, time.monotonic() + seconds)
    sweep.finish(process)
    assert not sweep.row.second_command
    sweep.check(most_epochs_again=0 if seconds else 1)


@pytest.mark.release
def test_all_nodes_taken_away_at_once(sweep: StruckSweep, cluster: Cluster) -> None:
    """With 30 s of notice; the new ones come later, as an autoscaler would bring them."""
    nodes = [cluster.add_node(num_cpus=1) for _ in range(SLOTS)]
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    for node in nodes:
        announce_end(cluster, node.node_id, 30)
    until = time.monotonic() + 30
    for node in nodes:
        take_away(cluster, node, until)
    for _ in nodes:
        cluster.add_node(num_cpus=1)
    sweep.finish(process)
    assert not sweep.row.second_command
    sweep.check(most_epochs_again=0)


@pytest.mark.release
def test_ten_nodes_lost_one_after_the_other(sweep: StruckSweep, cluster: Cluster) -> None:
    """Without notice: more losses than each trial has retries, on the only node there is."""
    sweep.content = {**sweep.content, "checkpoint_minutes": 0.5 / 60}
    node = cluster.add_node(num_cpus=1)
    process = sweep.start()
    for _ in range(10):
        before = sweep.passes
        wait_until(
            lambda before=before: (
                sweep.passes > before + 1.2 * sweep.passes_an_epoch or process.poll() is not None
            )
        )
        assert process.poll() is None, "the sweep has ended before ten nodes were lost"
        cluster.remove_node(node, allow_graceful=False)
        node = cluster.add_node(num_cpus=1)
    sweep.finish(process)
    assert not sweep.row.second_command
    sweep.check(most_epochs_again=10)


@pytest.mark.release
def test_node_stopped_by_sigterm(
    sweep: StruckSweep, cluster: Cluster, started_by_command: Callable[[], subprocess.Popen[bytes]]
) -> None:
    """As `docker stop` and Kubernetes do it: Ray itself announces the end of its node."""
    node = started_by_command()
    process = sweep.start()
    sweep.wait_for_a_moment(process)
    node.send_signal(signal.SIGTERM)
    stopped = time.monotonic()
    node.wait(timeout=60)
    assert time.monotonic() - stopped < 30, "its trial has not left by itself"
    cluster.add_node(num_cpus=1)
    sweep.finish(process)
    assert not sweep.row.second_command
    sweep.check(most_epochs_again=0)


@pytest.fixture
def started_by_command(cluster: Cluster) -> Iterator[Callable[[], subprocess.Popen[bytes]]]:
    """Starts a node as the images and the manifests do."""
    started = []

    def start() -> subprocess.Popen[bytes]:
        command = [RAY, "start", "--block", f"--address={cluster.address}", "--num-cpus=1"]
        started.append(subprocess.Popen([*command, "--object-store-memory=100000000"]))
        return started[-1]

    yield start
    for node in started:
        if node.poll() is None:
            node.terminate()
            node.wait(timeout=60)
