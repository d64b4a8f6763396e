"""How MLflow's server finds the pages, and what they make it load."""

from __future__ import annotations

import ast
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[3]
APPS = {"snn-sweep", "snn-sweep-with-basic-auth"}


def loaded_by(module: str) -> set[str]:
    program = f"import sys, {module}; print([name for name in sys.modules if '.' not in name])"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    return set(ast.literal_eval(told.stdout.decode().splitlines()[-1]))


@pytest.mark.parametrize("name", sorted(APPS))
def test_mlflow_finds_a_factory(name: str) -> None:
    (found,) = entry_points(group="mlflow.app", name=name)
    # MLflow takes a plain function for one that makes the app.
    assert type(found.load()).__name__ == "function"


def test_the_servers_first_process_loads_next_to_nothing() -> None:
    assert not {"mlflow", "pandas", "starlette"} & loaded_by("orchestration.page.app")


def test_the_pages_load_nothing_that_trains_or_draws() -> None:
    assert not {"torch", "ray", "matplotlib", "sklearn"} & loaded_by("orchestration.page.web")


def test_every_server_that_is_started_has_the_pages() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    words = compose["services"]["mlflow"]["command"].split()
    app = words[words.index("--app-name") + 1]
    of_setting = "${MLFLOW_APP:+-with-${MLFLOW_APP:-}}"
    assert {app.replace(of_setting, ""), app.replace(of_setting, "-with-basic-auth")} == APPS
    acting = yaml.safe_load((ROOT / "docker-compose.page.yml").read_text())["services"]
    assert set(acting) == {"mlflow"}
    assert set(acting["mlflow"]["secrets"]) <= set(compose["secrets"])
    known = compose["services"]["keeper"]["environment"]["RAY_API_SERVER_ADDRESS"]
    assert acting["mlflow"]["environment"]["RAY_API_SERVER_ADDRESS"] == known
    manifest = yaml.safe_load_all((ROOT / "services" / "kubernetes" / "mlflow.yaml").read_text())
    (deployment,) = (one for one in manifest if one["kind"] == "Deployment")
    arguments = deployment["spec"]["template"]["spec"]["containers"][0]["args"]
    assert "--app-name=snn-sweep-with-basic-auth" in arguments
