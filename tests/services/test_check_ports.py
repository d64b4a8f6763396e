"""A port of the composed cluster that is taken is told before the image is built."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from commands import free_port

ROOT = Path(__file__).parents[2]

Check = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def taken() -> Iterator[int]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        yield int(other.getsockname()[1])


@pytest.fixture
def check(tmp_path: Path) -> Check:
    """Runs the check as ``make cluster`` does, with a Docker that knows two of its commands."""

    def run(mlflow: int, ray: int, running: str = "") -> subprocess.CompletedProcess[str]:
        def published(port: int) -> list[dict[str, object]]:
            return [{"host_ip": "127.0.0.1", "published": str(port), "protocol": "tcp"}]

        services = {
            "postgres": {},
            "mlflow": {"ports": published(mlflow)},
            "ray-head": {"ports": published(ray)},
        }
        (tmp_path / "config.json").write_text(json.dumps({"services": services}))
        (tmp_path / "running").write_text(running)
        docker = tmp_path / "docker"
        docker.write_text(
            "#!/bin/sh\n"
            'case "$*" in\n'
            f'  "compose config --format json") cat "{tmp_path}/config.json";;\n'
            f'  "compose ps --services --status running") cat "{tmp_path}/running";;\n'
            '  *) echo "unknown: $*" >&2; exit 64;;\n'
            "esac\n"
        )
        docker.chmod(0o755)
        return subprocess.run(
            [sys.executable, "-ISE", str(ROOT / "services" / "check_ports.py")],
            env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
        )

    return run


def test_free_ports_are_no_matter(check: Check) -> None:
    done = check(free_port(), free_port())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize("setting", ["MLFLOW_PORT", "RAY_PORT"])
def test_the_setting_that_moves_a_taken_port_is_told(
    check: Check, taken: int, setting: str
) -> None:
    done = check(*((taken, free_port()) if setting == "MLFLOW_PORT" else (free_port(), taken)))
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert f"port {taken} of 127.0.0.1" in line
    assert f"set {setting} in .env to another" in line
    assert f"{setting}=" in (ROOT / ".env.example").read_text()


def test_a_cluster_that_runs_has_its_ports_itself(check: Check, taken: int) -> None:
    assert check(taken, free_port(), running="postgres\nmlflow\n").returncode == 0


def test_the_check_comes_before_the_image_is_built() -> None:
    lines = (ROOT / "Makefile").read_text().splitlines()
    build = lines.index("\tdocker compose up --detach --build --wait")
    assert lines[build - 1] == "\t@$(PYTHON) services/check_ports.py"
