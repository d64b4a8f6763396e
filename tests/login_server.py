"""MLflow with a login and the pages of sweeps, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from commands import free_port, wait_until

ADMIN = ("admin", "admin's-own-1")


class Server:
    """MLflow with basic-auth and the pages; its settings are those of docker-compose.yml."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        port = free_port()
        self.uri = f"http://127.0.0.1:{port}"
        config = folder / "basic_auth.ini"
        config.write_text(
            "[mlflow]\ndefault_permission = READ\n"
            f"database_uri = sqlite:///{folder / 'users.db'}\nadmin_username = admin\n"
            "authorization_function = mlflow.server.auth:authenticate_request_basic_auth\n"
            "auth_cache_ttl_seconds = 60\n"
        )
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith("MLFLOW_")},
            "MLFLOW_AUTH_CONFIG_PATH": str(config),
            "MLFLOW_AUTH_ADMIN_PASSWORD": ADMIN[1],
            "MLFLOW_FLASK_SERVER_SECRET_KEY": "a key of the tests",
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "SNN_SWEEP_HOME": str(self.home),
        }
        command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
        command += ["--app-name", "snn-sweep-with-basic-auth"]
        with (folder / "server.log").open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdout=log, stderr=log
            )

    def answers(self) -> bool:
        try:
            return requests.get(f"{self.uri}/health", timeout=5).ok
        except requests.ConnectionError:
            assert self.process.poll() is None
            return False

    def post(self, path: str, **given: str) -> None:
        url = f"{self.uri}/api/{path}"
        reply = requests.post(url, json=given, auth=ADMIN, timeout=60)
        assert reply.ok, reply.text

    def get(self, page: str, user: tuple[str, str] | None, code: int = 200) -> str:
        reply = requests.get(f"{self.uri}/{page}", auth=user, timeout=60)
        assert reply.status_code == code, reply.text
        return reply.text

    def act(self, page: str, act: str, user: tuple[str, str]) -> requests.Response:
        """Send the form of a sweep's page, as a browser that has its token does."""
        return requests.post(
            f"{self.uri}/{page}/{act}", auth=user, data={"token": "x" * 43, "count": "1"},
            cookies={"snn-sweep-token": "x" * 43}, headers={"origin": self.uri}, timeout=60,
            allow_redirects=False,
        )  # fmt: skip

    def add_user(self, name: str, password: str) -> None:
        self.post("2.0/mlflow/users/create", username=name, password=password)


@contextmanager
def logged_in(user: tuple[str, str]) -> Iterator[None]:
    """MLflow's client in this process is this user's for the context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_USERNAME", user[0])
        patch.setenv("MLFLOW_TRACKING_PASSWORD", user[1])
        yield


@contextmanager
def login_server(folder: Path) -> Iterator[Server]:
    """Such a server for the context."""
    server = Server(folder)
    try:
        wait_until(server.answers)
        yield server
    finally:
        server.process.terminate()
        server.process.wait(30)
