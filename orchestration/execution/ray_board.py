"""The claims of a cluster's sweeps, in the key-value store of Ray's head.

Ray knows which of its drivers have died, so their claims count no longer, and no clocks are
compared. As `ray_nodes`, this file uses what Ray does not promise, and its tests hold it against
the installed Ray.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import ray
from ray._private.state import state
from ray.experimental import internal_kv

from orchestration.execution.trials.fair_share import Claim

_NAMESPACE = "snn_sweep_claims"


class RayBoard:
    """The claims of the sweeps of the cluster to which this process is connected."""

    def __init__(self) -> None:
        self._job = ray.get_runtime_context().get_job_id()

    def publish(self, claim: Claim) -> None:
        """Replace the claim of this process."""
        internal_kv._internal_kv_put(self._job, json.dumps(asdict(claim)), namespace=_NAMESPACE)

    def others(self) -> dict[str, Claim]:
        """The claims of the other processes that live, by Ray's ids of them."""
        dead = {job["JobID"] for job in state.job_table() if job["IsDead"]}
        claims = {}
        for key in internal_kv._internal_kv_list("", namespace=_NAMESPACE):
            job = key.decode()
            value = internal_kv._internal_kv_get(key, namespace=_NAMESPACE)
            if job in dead:
                self._remove(job)
            elif job != self._job and value is not None:
                claims[job] = Claim(**json.loads(value))
        return claims

    def resources(self) -> tuple[float, float]:
        """The processor cores and the GPUs of the cluster."""
        present = ray.cluster_resources()
        return present.get("CPU", 0.0), present.get("GPU", 0.0)

    def withdraw(self) -> None:
        """Remove the claim of this process."""
        self._remove(self._job)

    def _remove(self, job: str) -> None:
        internal_kv._internal_kv_del(job, namespace=_NAMESPACE)


@contextmanager
def ray_board() -> Iterator[RayBoard | None]:
    """The board for the context, after which the claim of this process is withdrawn.

    It is None if this process is connected by Ray's client (``ray://``), which has no access to it.
    """
    if ray.util.client.ray.is_connected():
        yield None
        return
    board = RayBoard()
    try:
        yield board
    finally:
        board.withdraw()
