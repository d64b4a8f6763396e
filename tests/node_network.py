"""A network of its own for a node of a Ray cluster on this machine, which a test can cut."""

from __future__ import annotations

import os
import shutil
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

_IP = shutil.which("ip")


@dataclass(frozen=True)
class NodeNetwork:
    """A network namespace of Linux, joined to this machine by a cable.

    Args:
        name: the namespace's.
        head: the address of this machine's end of the cable.
        node: the address of the other end.
    """

    name: str
    head: str = "10.213.7.1"
    node: str = "10.213.7.2"

    @property
    def prefix(self) -> list[str]:
        """Before a command, lets it run in the namespace."""
        return [str(_IP), "netns", "exec", self.name]

    def cut(self) -> None:
        """Lose every packet from now on. Nobody is told, and all processes go on."""
        _ip("link", "set", self.name, "down")


@contextmanager
def node_network() -> Iterator[NodeNetwork]:
    """A network, which no process outlives. Skips the test where none can be made."""
    if _IP is None or os.geteuid() != 0:
        pytest.skip("only root can make a network, with the command ip of Linux")
    network = NodeNetwork(f"snn{uuid.uuid4().hex[:8]}")  # a device has at most 15 characters
    name, other = network.name, f"n{network.name}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", name, "type", "veth", "peer", "name", other, "netns", name)
        _ip("addr", "add", f"{network.head}/30", "dev", name)
        _ip("link", "set", name, "up")
        _ip("-n", name, "addr", "add", f"{network.node}/30", "dev", other)
        for device in (other, "lo"):
            _ip("-n", name, "link", "set", device, "up")
        yield network
    finally:
        inside = subprocess.check_output([str(_IP), "netns", "pids", name], text=True).split()
        subprocess.run(["kill", "-KILL", *inside], check=True) if inside else None
        _ip("netns", "del", name)


def _ip(*arguments: str) -> None:
    subprocess.run([str(_IP), *arguments], check=True)
