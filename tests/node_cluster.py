"""A Ray cluster whose nodes come and go, on this machine."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from ray._private.node import Node
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason


@contextmanager
def cluster_of_a_head() -> Iterator[Cluster]:
    """A head without trials, to which a test adds nodes; their deaths are noticed in seconds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_health_check_period_ms", "1000")
        head = {"num_cpus": 0, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            cluster.shutdown()


def announce_end(cluster: Cluster, node: Node, seconds: float) -> None:
    """Announce that a node is taken away in so many seconds, as a cloud's agent does."""
    reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    deadline_ms = int((time.time() + seconds) * 1000)
    GcsClient(address=cluster.address).drain_node(node.node_id, reason, "preempted", deadline_ms)
