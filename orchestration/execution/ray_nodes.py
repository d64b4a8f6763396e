"""Ray's nodes: which are about to be taken away, and which have died.

This is the only file that uses Ray's private state, and its tests hold it against the installed
Ray.
"""

from __future__ import annotations

import time

import ray
from ray._private.state import state
from ray.core.generated.common_pb2 import NodeDeathInfo
from ray.exceptions import RayActorError


def seconds_left() -> float | None:
    """The seconds until the node of this process is taken away; None if nobody has announced that.

    They are 0 if it was announced without a time.
    """
    deadline_ms = state.get_draining_nodes().get(ray.get_runtime_context().get_node_id())
    return None if deadline_ms is None else max(0.0, deadline_ms / 1000 - time.time())


def node_of(error: RayActorError) -> str | None:
    """The id of the node on which an actor has died; None if it never had a node."""
    address = state.actor_table(error.actor_id).get("Address", {}) if error.actor_id else {}
    return address.get("NodeID") or None


def dead_nodes() -> set[str]:
    """The ids of the nodes that have left the cluster for whatever reason."""
    return {node["NodeID"] for node in ray.nodes() if not node["Alive"]}


def nodes_dead_without_notice() -> set[str]:
    """The ids of the nodes that have died without an orderly end, or before their time was up."""
    unexpected = NodeDeathInfo.UNEXPECTED_TERMINATION
    return {node["NodeID"] for node in ray.nodes() if node["DeathReason"] == unexpected}
