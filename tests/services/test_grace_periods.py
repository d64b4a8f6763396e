"""Grace periods are longer than the drains that they must leave time for."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from node_cluster import cluster_of_a_head
from ray._private.state import state
from ray.cluster_utils import Cluster

ROOT = Path(__file__).parents[2]
MANIFESTS = ("raycluster.yaml", "rayjob.yaml")
DRAIN = "RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S"
MARGIN = 15
"""The seconds that Ray may take to end its processes after a drain."""


def worker_pod(manifest: str) -> dict[str, Any]:
    document = yaml.safe_load((ROOT / "services" / "kubernetes" / manifest).read_text())
    cluster = document["spec"].get("rayClusterSpec", document["spec"])
    (group,) = cluster["workerGroupSpecs"]
    pod: dict[str, Any] = group["template"]["spec"]
    return pod


def hook_of(pod: dict[str, Any]) -> str:
    (container,) = pod["containers"]
    *_, script = container["lifecycle"]["preStop"]["exec"]["command"]
    return str(script)


@pytest.mark.parametrize("service", ["ray-head", "ray-worker"])
def test_docker_waits_longer_than_ray_drains(service: str) -> None:
    composed = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]
    assert composed["stop_grace_period"] == "1m"
    assert int(composed["environment"][DRAIN]) + MARGIN <= 60


@pytest.mark.parametrize("manifest", MANIFESTS)
def test_kubernetes_waits_longer_than_ray_drains(manifest: str) -> None:
    pod = worker_pod(manifest)
    (container,) = pod["containers"]
    drain = {one["name"]: one.get("value") for one in container["env"]}[DRAIN]
    hook = re.fullmatch(r"ray drain-node .*-seconds=(\d+) && sleep (\d+)", hook_of(pod))
    assert hook is not None
    assert set(hook.groups()) == {drain}
    # After the hook, Kubernetes sends SIGTERM, on which Ray may drain the node once more.
    assert 2 * int(drain) + MARGIN <= pod["terminationGracePeriodSeconds"]


def test_slurm_gives_the_driver_and_the_drain_their_time() -> None:
    script = (ROOT / "services" / "slurm" / "sweep.sbatch").read_text()
    (given,) = re.findall(r"^#SBATCH --signal=B:TERM@(\d+)$", script, re.MULTILINE)
    (drain,) = re.findall(rf"^export {DRAIN}=(\d+)", script, re.MULTILINE)
    assert int(drain) + 60 <= int(given), "the driver needs a minute to close its runs"


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with cluster_of_a_head() as cluster:
        try:
            ray.init(address=cluster.address, logging_level="error", log_to_driver=False)
            yield cluster
        finally:
            ray.shutdown()


def test_the_hook_of_a_pod_announces_the_end_of_its_node(cluster: Cluster) -> None:
    node = cluster.add_node(num_cpus=1)
    # An idle node would end at once.
    occupied = ray.remote(num_cpus=1)(lambda: time.sleep(60)).remote()
    command = hook_of(worker_pod(MANIFESTS[0])).partition(" &&")[0].split()
    command[0] = str(Path(sys.executable).with_name("ray"))
    ray.wait([occupied], timeout=1)
    # A pod has one node; of several on one machine, the command would take any.
    subprocess.run(
        [*command, f"--node-id={node.node_id}", f"--address={cluster.address}"], check=True
    )
    left = state.get_draining_nodes()[node.node_id] / 1000 - time.time()
    assert 0 < left <= 30
