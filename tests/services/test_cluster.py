from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from homes import settings_in
from ray._private import services

from services.cluster import local_ray
from services.settings import SettingsError
from services.tracking import ServiceError

ROOT = Path(__file__).parents[2]

_DRIVER = """
import os, signal, sys
sys.path.insert(0, "")
import ray
from services.cluster import local_ray
from services.settings import Settings

settings = Settings.from_environment({})
before, on_sigterm = dict(os.environ), signal.getsignal(signal.SIGTERM)
import of_the_user

@ray.remote
def there():
    print("said by a worker")
    return of_the_user.answer(), os.environ.get("CUDA_VISIBLE_DEVICES")

def no_trace():
    return (
        not ray.is_initialized()
        and dict(os.environ) == before
        and signal.getsignal(signal.SIGTERM) is on_sigterm
    )

with local_ray(settings, num_cpus=2, num_gpus=1):
    assert ray.get(there.remote()) == (42, ""), "a task without a GPU must see none"
    assert ray.get(there.options(num_gpus=0.5).remote()) == (42, "0")
    with local_ray(settings):
        assert ray.cluster_resources()["CPU"] == 2
    assert ray.is_initialized(), "the inner block has not made it"
assert no_trace()
"""


def test_ray_is_local_silent_and_leaves_no_traces(tmp_path: Path) -> None:
    folder = tmp_path / "ici même"
    folder.mkdir()
    (folder / "of_the_user.py").write_text("def answer():\n    return 42\n")
    (folder / "driver.py").write_text(_DRIVER)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    # Ray would connect to this address, if it were asked.
    environment["RAY_ADDRESS"] = f"127.0.0.1:{_closed_port()}"
    done = subprocess.run(
        [sys.executable, "-W", "error", "driver.py"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def run_alone(program: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, without variables of Ray."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("RAY_")}
    return subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env=environment | {"HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


_FIRST_LOCAL_THEN_A_CLUSTER = """
import ray
from ray.cluster_utils import Cluster
from services.cluster import local_ray
from services.settings import Settings

def answer():
    class OfTheUser:
        def answer(self):
            return 42
    return ray.get(ray.remote(OfTheUser).remote().answer.remote())

with local_ray(Settings.from_environment({}), num_cpus=1):
    assert answer() == 42
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    with local_ray(Settings.from_environment({"RAY_ADDRESS": cluster.address})):
        assert answer() == 42
finally:
    cluster.shutdown()
"""


def test_a_cluster_without_tokens_after_a_local_ray(tmp_path: Path) -> None:
    """Ray uses a token for each instance on this machine, and would go on to use it."""
    done = run_alone(_FIRST_LOCAL_THEN_A_CLUSTER, tmp_path)
    assert done.returncode == 0, done.stderr


_A_CLUSTER_WITH_TOKENS = """
import os
from ray.cluster_utils import Cluster
from ray._private.authentication.authentication_token_setup import ensure_token_if_auth_enabled
from services.cluster import local_ray
from services.errors import ServiceError
from services.settings import Settings
from ray._raylet import Config

os.environ["RAY_AUTH_MODE"] = "token"
Config.initialize("")
ensure_token_if_auth_enabled(create_token_if_missing=True)
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
try:
    del os.environ["RAY_AUTH_MODE"]
    Config.initialize("")
    with local_ray(Settings.from_environment({"RAY_ADDRESS": cluster.address})):
        print("connected")
except ServiceError as error:
    print(error)
finally:
    os.environ["RAY_AUTH_MODE"] = "token"
    Config.initialize("")
    cluster.shutdown()
"""


@pytest.mark.slow
@pytest.mark.release
def test_a_cluster_that_asks_for_a_token(tmp_path: Path) -> None:
    done = run_alone(_A_CLUSTER_WITH_TOKENS, tmp_path)
    assert "Set RAY_AUTH_MODE=token" in done.stdout, f"{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("address", ["{}", "ray://{}"])
def test_nobody_at_the_address(tmp_path: Path, address: str) -> None:
    address = address.format(f"127.0.0.1:{_closed_port()}")
    settings = settings_in(tmp_path, RAY_ADDRESS=address)
    with pytest.raises(ServiceError, match="unset RAY_ADDRESS") as caught, local_ray(settings):
        pytest.fail("entered")
    assert address in str(caught.value)


def test_auto_without_a_cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # What Ray looks for on the machine would be the Rays of the tests beside this one.
    services.find_gcs_addresses.cache_clear()
    monkeypatch.setattr(services, "_find_address_from_flag", lambda _: set())
    monkeypatch.setattr(services, "find_bootstrap_address", lambda _: None)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    with (
        pytest.raises(ServiceError, match="unset RAY_ADDRESS"),
        local_ray(settings_in(tmp_path, RAY_ADDRESS="auto")),
    ):
        pytest.fail("entered")
    assert signal.getsignal(signal.SIGTERM) is on_sigterm


@pytest.mark.parametrize("address", ["http://127.0.0.1:8265", "head", "head:port", "ray://"])
def test_an_address_of_another_kind(tmp_path: Path, address: str) -> None:
    settings = replace(settings_in(tmp_path), ray_address=address)
    with pytest.raises(SettingsError, match="host:6379") as caught, local_ray(settings):
        pytest.fail("entered")
    assert address in str(caught.value)


def _closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
