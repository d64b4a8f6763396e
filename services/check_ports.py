"""Says which setting moves a port of the composed cluster that another program has taken.

    python3 services/check_ports.py     # in the folder of docker-compose.yml

``make cluster`` asks before it builds the image, which takes minutes. Needs Python and Docker.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

_SETTINGS = {"mlflow": "MLFLOW_PORT", "ray-head": "RAY_PORT"}
"""The setting of a service's port, in ``.env``."""


def problems() -> list[str]:
    """Give a sentence for each port of the cluster that another program listens on."""
    running = _compose("ps", "--services", "--status", "running").split()
    found = []
    for service, address, port in _published(json.loads(_compose("config", "--format", "json"))):
        # A service that runs already has its port itself.
        if service not in running and _is_taken(address, port):
            setting = _SETTINGS.get(service)
            way_out = f"set {setting} in .env to another" if setting else "publish another"
            found.append(
                f"port {port} of {address}, which the service {service!r} is to have, is taken by "
                f"another program: stop that program (a tracking server of snn-sweep's own: "
                f"snn-sweep down), or {way_out}"
            )
    return found


def _published(config: dict[str, Any]) -> Iterator[tuple[str, str, int]]:
    """The service, address and port of all that the cluster listens on."""
    for service, settings in config["services"].items():
        for port in settings.get("ports", []):
            yield service, port.get("host_ip", "0.0.0.0"), int(port["published"])


def _is_taken(address: str, port: int) -> bool:
    with socket.socket() as probe:
        # Else the connections of a server that has ended would count as it.
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
        told = problems()
    except FileNotFoundError:
        told = ["the command docker is not here: install Docker with its compose plugin"]
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)  # Docker itself has said why
    sys.exit("\n".join(told) or None)
