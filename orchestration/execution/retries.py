"""Decides whether a task is tried again after an error."""

from __future__ import annotations

from collections import defaultdict

from ray.exceptions import RayActorError

from orchestration.execution.ray_nodes import dead_nodes, node_of
from orchestration.execution.worker.within_epoch import PreemptedError


class Retries:
    """Counts the faults of each task, up to ``most``. The loss of a node is not one of them."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._faults: defaultdict[str, list[str | None]] = defaultdict(list)
        """The node of each fault that ended a worker, by the trial's key; None for other faults."""

    def allow(self, key: str, error: BaseException) -> bool:
        """Whether the task of a trial is tried again after this error."""
        faults = self._faults[key]
        if isinstance(error, RayActorError):
            if not error.preempted:
                faults.append(node_of(error))
        elif not isinstance(error, PreemptedError):
            faults.append(None)
        # A worker may end some seconds before Ray notices that its node has.
        dead = dead_nodes()
        faults[:] = [node for node in faults if node not in dead]
        return len(faults) <= self._most
