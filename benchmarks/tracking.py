"""What benchmarks measure with a process and a tracking server, on SQLite, of its own."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

_REQUEST = re.compile(r'"([A-Z]+) /(?:ajax-)?api/2\.0/mlflow(-artifacts/artifacts)?/([^ ?]*)')


def measured_apart(module: str, *arguments: str) -> dict[str, Any]:
    """What a benchmark measures in a process, a home and on a tracking server of its own.

    The module is given ``--measure``, the arguments, the server's URI and the path of its access
    log, and prints a JSON object as its last line.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        tracking_server(Path(folder), free_port()) as (uri, log),
    ):
        command = [sys.executable, "-W", "ignore", "-m", module]
        command += ["--measure", *arguments, uri, str(log)]
        environment = {**os.environ, "SNN_SWEEP_HOME": f"{folder}/home"}
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, check=True)
        answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return answer


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
    return port


@contextmanager
def tracking_server(folder: Path, port: int) -> Iterator[tuple[str, Path]]:
    """A tracking server that keeps its database in a folder, and an access log; URI and log."""
    log = folder / "server.log"
    command = [sys.executable, "-W", "ignore", "-m", "mlflow", "server"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    command += ["--artifacts-destination", str(folder / "artifacts")]
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with log.open("ab") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=file)
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_until_healthy(uri, process)
        yield uri, log
    finally:
        process.terminate()
        process.wait()


def _wait_until_healthy(uri: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if requests.get(f"{uri}/health", timeout=5).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.2)
    raise RuntimeError(f"the tracking server ended with {process.returncode}")


def requests_in(log: Path) -> Counter[str]:
    """The requests in an access log by kind, such as ``POST runs/create`` or ``PUT model``.

    Those for artifacts are named after the folder of the artifact in its run.
    """
    kinds: Counter[str] = Counter()
    for method, artifacts, path in _REQUEST.findall(log.read_text()):
        kinds[
            f"{method} {path.partition('/artifacts/')[2].split('/')[0] if artifacts else path}"
        ] += 1
    return kinds
