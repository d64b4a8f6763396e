"""Ray clusters on this machine: one whose nodes come and go, and one that runs jobs."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from commands import free_port, wait_until
from ray._raylet import GcsClient
from ray.cluster_utils import Cluster
from ray.core.generated.autoscaler_pb2 import DrainNodeReason

RAY = str(Path(sys.executable).with_name("ray"))


@contextmanager
def cluster_of_a_head(**more: Any) -> Iterator[Cluster]:
    """A head without trials, to which a test adds nodes; their deaths are noticed in seconds.

    Args:
        more: further arguments of the head's node.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_health_check_period_ms", "1000")
        head = {"num_cpus": 0, "include_dashboard": False, **more}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        try:
            yield cluster
        finally:
            cluster.shutdown()


def announce_end(cluster: Cluster, node_id: str, seconds: float) -> None:
    """Announce that a node is taken away in so many seconds, as a cloud's agent does."""
    reason = DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    deadline_ms = int((time.time() + seconds) * 1000)
    GcsClient(address=cluster.address).drain_node(node_id, reason, "preempted", deadline_ms)


def node_at(cluster: Cluster, address: str) -> str:
    """The id of the node at an IP address, once it has joined the cluster."""
    client, ids = GcsClient(address=cluster.address), []

    def has_joined() -> bool:
        nodes = client.get_all_node_info().values()
        ids[:] = [node.node_id.hex() for node in nodes if node.node_manager_address == address]
        return bool(ids)

    wait_until(has_joined)
    return ids[0]


@contextmanager
def cluster_with_jobs(home: Path, settings: Mapping[str, str]) -> Iterator[str]:
    """A cluster of two cores; gives its job server's address.

    Args:
        home: ``SNN_SWEEP_HOME`` of its nodes.
        settings: further variables of their environment.
    """
    port = free_port()
    known = {
        "SNN_SWEEP_HOME": str(home),
        "PYTHONPATH": str(Path(__file__).parents[1]),
        # A job's python is the one that `ray start` finds.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        **settings,
    }
    with (
        tempfile.TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as folder,
        pytest.MonkeyPatch.context() as environment,
    ):
        # A job goes to the Ray that a file there names: the one that was started last.
        for name, value in (known | {"RAY_TMPDIR": folder}).items():
            environment.setenv(name, value)
        # An agent's usual port may be another Ray's on this machine.
        ports = {"dashboard_port": port, "dashboard_agent_listen_port": free_port()}
        options = {"num_cpus": 2, "include_dashboard": True, **ports}
        cluster = Cluster(initialize_head=True, head_node_args=options)
        environment.undo()
        yield f"http://127.0.0.1:{port}"
        cluster.shutdown()
