"""Nodes whose network is cut while their processes go on, and the end of the head's node."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from urllib.parse import urlsplit

import pytest
from commands import finish, free_port
from laboratory import EPOCHS, SLOTS, StruckSweep
from node_cluster import RAY, announce_end, cluster_of_a_head, node_at
from node_network import NodeNetwork, node_network
from proxy import Proxy

pytestmark = [pytest.mark.slow, pytest.mark.release]

_MEMORY = "--object-store-memory=100000000"


@pytest.fixture(autouse=True)
def _counted(sweep: StruckSweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers have the environment of their node, not of the driver."""
    monkeypatch.setenv("OWN_CODE_COUNT", sweep.commands.environment["OWN_CODE_COUNT"])
    # Otherwise `ray start` asks for the token of this user, if there is one.
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")


@pytest.fixture
def network(sweep: StruckSweep) -> Iterator[NodeNetwork]:
    """A network for a node, from which the tracking server can be reached."""
    port = urlsplit(sweep.tracking_uri).port
    assert port is not None
    with node_network() as network, Proxy(port, network.head) as proxy:
        sweep.commands.environment["MLFLOW_TRACKING_URI"] = f"http://{network.head}:{proxy.port}"
        yield network


@pytest.mark.parametrize("notice", [0, 30])
def test_node_cut_off(sweep: StruckSweep, network: NodeNetwork, notice: int) -> None:
    """Its trial goes on elsewhere, while the process of the earlier attempt still trains.

    With a notice of 0 s nothing is announced.
    """
    if notice:
        sweep.row.fault += f" after a notice of {notice} s"
    here = {"num_cpus": 1, "node_ip_address": network.head}
    with cluster_of_a_head(node_ip_address=network.head) as cluster:
        sweep.commands.environment["RAY_ADDRESS"] = cluster.address
        start = [RAY, "start", "--block", "--num-cpus=1", _MEMORY]
        where = [f"--address={cluster.address}", f"--node-ip-address={network.node}"]
        with _process([*network.prefix, *start, *where]):
            cluster.add_node(**here)
            node = node_at(cluster, network.node)
            process = sweep.start()
            sweep.wait_for_a_moment(process)
            if notice:
                announce_end(cluster, node, notice)
                time.sleep(sweep.random.uniform(0, 2))
            network.cut()
            cluster.add_node(**here)
            sweep.finish(process)
    assert not sweep.row.second_command
    # The earlier attempt may train to the end of its trial before the next one takes over.
    sweep.check(most_epochs_again=EPOCHS)


def test_head_taken_away(sweep: StruckSweep) -> None:
    """The cluster ends with it. The command says so, and goes on once there is a new cluster."""
    port = free_port()
    sweep.commands.environment["RAY_ADDRESS"] = f"127.0.0.1:{port}"
    with ExitStack() as nodes:
        head = nodes.enter_context(_head(port))
        nodes.enter_context(_node(port))
        process = sweep.start()
        sweep.wait_for_a_moment(process)
        head.send_signal(signal.SIGTERM)
        head.wait(timeout=120)
        finish(process, 3)
        sweep.row.second_command = True
        nodes.enter_context(_head(port))  # the node of the first head may still be there
        nodes.enter_context(_node(port))
        sweep.commands.run("run", sweep.path)
    sweep.check(most_epochs_again=SLOTS)


def _head(port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """The node of a head, without trials, as the images and the manifests start it."""
    own = ["--head", f"--port={port}", "--include-dashboard=false", "--num-cpus=0"]
    return _process([RAY, "start", "--block", "--node-ip-address=127.0.0.1", _MEMORY, *own])


def _node(port: int) -> AbstractContextManager[subprocess.Popen[bytes]]:
    """A node with the slots of the sweep."""
    own = [f"--address=127.0.0.1:{port}", f"--num-cpus={SLOTS}", "--node-ip-address=127.0.0.1"]
    return _process([RAY, "start", "--block", _MEMORY, *own])


@contextmanager
def _process(command: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is ended with the block."""
    with subprocess.Popen(command) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(timeout=60)
            except subprocess.TimeoutExpired:
                process.kill()
