"""The composed cluster as a laboratory starts it, in a project of its own beside any other."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from commands import SLOW, USERS_FOLDER
from mlflow import MlflowClient

from orchestration import SweepSpec
from orchestration.record.client import connect
from services.make_secrets import make_secrets

ROOT = Path(__file__).parents[2]

SMALL: dict[str, Any] = {
    "dataset": "own_code:blobs",
    "epochs": 20,
    "seeds": [1, 2],
    "training": {"batch_size": 16, "augment": True},
    "grid": [{"architecture": "ann", "norm": [SLOW, "none"], "width": 2}],
}


@dataclass
class Stack:
    """A composed cluster that runs."""

    folder: Path
    mlflow_port: int
    ray_port: int
    changes: dict[str, str] = field(default_factory=dict)
    """Settings that a test has changed."""
    started: list[subprocess.Popen[str]] = field(default_factory=list)

    @property
    def project(self) -> str:
        return f"snn-sweep-test-{self.mlflow_port}"

    @property
    def tracking_uri(self) -> str:
        return f"http://127.0.0.1:{self.mlflow_port}"

    @property
    def job_server(self) -> str:
        return f"http://127.0.0.1:{self.ray_port}"

    @property
    def client(self) -> MlflowClient:
        return connect(self.tracking_uri)

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / name).read_text()

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run ``docker compose``; gives its standard output."""
        environment = {
            **os.environ,
            "COMPOSE_PROJECT_NAME": self.project,
            "SECRETS": str(self.folder / "secrets"),
            "MLFLOW_PORT": str(self.mlflow_port),
            "RAY_PORT": str(self.ray_port),
            **self.changes,
        }
        return run("docker", "compose", *arguments, check=check, cwd=ROOT, env=environment)

    def container(self, service: str) -> str:
        """The first container of a service."""
        return self.compose("ps", "--all", "--quiet", service).split()[0]

    def kill_head(self) -> None:
        """As when its machine loses power; then start it again. (A restart would let it finish.)"""
        self.compose("kill", "ray-head")
        self.compose("up", "--detach", "--wait", "ray-head")

    def spec(self, name: str, **changes: Any) -> tuple[SweepSpec, Path]:
        """A small sweep with the user's own modules, and its file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, **SMALL, **changes}))
        return SweepSpec.load(path), path

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """Start ``snn-sweep`` outside the containers, in the folder of the user's modules."""
        process = subprocess.Popen(
            [sys.executable, "-c", "from orchestration import main; main()", *arguments],
            cwd=USERS_FOLDER,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SNN_SWEEP_HOME": str(self.folder / "home"),
                "MLFLOW_TRACKING_URI": self.tracking_uri,
                "RAY_API_SERVER_ADDRESS": self.job_server,
                "RAY_AUTH_MODE": "token",
                "RAY_AUTH_TOKEN_PATH": str(self.folder / "secrets" / "ray_token"),
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def sweep(self, *arguments: str, code: int = 0, **environment: str) -> tuple[str, str]:
        """Run ``snn-sweep`` to its end; gives standard output and standard error."""
        return finish(self.start(*arguments, **environment), code)


def run(*command: str, check: bool = True, **options: Any) -> str:
    """Run a program; gives its standard output."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}\n{done.stderr}"
    return done.stdout


def finish(process: subprocess.Popen[str], code: int = 0) -> tuple[str, str]:
    """What it wrote, once it has ended with this exit code."""
    out, err = process.communicate(timeout=500)
    assert process.returncode == code, f"{out}\n{err}"
    return out, err


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _why_not() -> str | None:
    """Why no cluster can be composed here."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    try:
        run("docker", "info")
        run("docker", "compose", "version")
        for image in ("python:3.11-slim", "postgres:17"):
            if not run("docker", "images", "--quiet", image).strip():
                run("docker", "pull", "--quiet", image)
    except AssertionError as error:
        return " ".join(str(error).split())[-300:]
    return None


@pytest.fixture(scope="session", autouse=True)
def own_code() -> Iterator[None]:
    """The user's modules: a spec that names them is checked in this process, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(USERS_FOLDER)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Build and start everything; afterwards everything goes, volumes too."""
    if reason := _why_not():
        pytest.skip(f"NO CLUSTER TESTS: {reason}")
    folder = tmp_path_factory.mktemp("cluster")
    stack = Stack(folder, _free_port(), _free_port())
    make_secrets(folder / "secrets")
    started = time.monotonic()
    try:
        stack.compose("build")
        built = time.monotonic()
        stack.compose("up", "--detach", "--wait")
        up = time.monotonic()
        print(f"\nimage built in {built - started:.0f} s, everything up {up - built:.0f} s later")  # noqa: T201
        yield stack
        if folder_name := os.environ.get("SNN_TEST_LOGS"):
            logs = stack.compose("logs", "--no-color", "--timestamps")
            (Path(folder_name) / "cluster.log").write_text(logs)
    finally:
        stack.compose("down", "--volumes", "--timeout", "5", check=False)


@pytest.fixture(autouse=True)
def _no_command_outlives_its_test(stack: Stack) -> Iterator[None]:
    """Nor spoils another."""
    yield
    while stack.started:
        process = stack.started.pop()
        if process.poll() is None:
            process.kill()
            process.communicate()


def states(stack: Stack) -> dict[str, list[str]]:
    """The states of the containers of each service."""
    found: dict[str, list[str]] = {}
    for line in stack.compose("ps", "--all", "--format", "json").splitlines():
        container = json.loads(line)
        found.setdefault(container["Service"], []).append(container["State"])
    return found
