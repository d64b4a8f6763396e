"""Checks that the ports of the composed cluster are free, and names the setting of one that is not.

    python3 services/check_ports.py     # in the folder of docker-compose.yml

``make cluster`` runs this before it builds the image, which takes minutes. It needs only Python and
Docker.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

_SETTINGS = {"mlflow": "MLFLOW_PORT", "ray-head": "RAY_PORT"}
"""The setting in ``.env`` of each service's port."""


def problems() -> list[str]:
    """Return a sentence for each port of the cluster on which another program listens."""
    running = _compose("ps", "--services", "--status", "running").split()
    messages = []
    for service, address, port in _published(json.loads(_compose("config", "--format", "json"))):
        # A running service has its port itself.
        if service not in running and _is_taken(address, port):
            setting = _SETTINGS.get(service)
            way_out = f"set {setting} in .env to another" if setting else "publish another"
            messages.append(
                f"port {port} of {address}, which the service {service!r} needs, is used by "
                f"another program: stop that program (a tracking server of snn-sweep's own: "
                f"snn-sweep down), or {way_out}"
            )
    return messages


def _published(config: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """The service, address and number of each port on which the cluster listens."""
    for service, settings in config["services"].items():
        for port in settings.get("ports", []):
            yield service, port.get("host_ip", "0.0.0.0"), int(port["published"])


def _is_taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # Otherwise closing connections of a server that has ended would count as a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError:
            return True
    return False


def _compose(*arguments: str) -> str:
    command = ["docker", "compose", *arguments]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


if __name__ == "__main__":
    try:
        messages = problems()
    except FileNotFoundError:
        messages = ["the command docker is missing: install Docker with its compose plugin"]
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # Docker has printed the reason
    sys.exit("\n".join(messages) or None)
