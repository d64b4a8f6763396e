"""What a release consists of: a wheel and an sdist that an empty environment can install."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import zipfile
from email.parser import Parser
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]


def run(*command: str | Path, code: int = 0, cwd: Path = ROOT) -> str:
    ended = subprocess.run(
        [*map(str, command)], cwd=cwd, capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The wheel and the sdist."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder)
    (wheel,), (sdist,) = folder.glob("*.whl"), folder.glob("*.tar.gz")
    return wheel, sdist


def test_an_index_would_take_them(built: tuple[Path, Path]) -> None:
    assert run(sys.executable, "-m", "twine", "check", "--strict", *built).count("PASSED") == 2


def test_they_hold_what_runs_and_no_more(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        files = wheel.namelist()
    assert "orchestration/specs/digits.yaml" in files
    assert "orchestration/page/templates/sweep.html" in files
    tops = {name.split("/")[0] for name in files if ".dist-info" not in name}
    assert tops == {"snn_norm", "orchestration", "services"}
    with tarfile.open(built[1]) as sdist:
        names = {name.split("/", 1)[-1] for name in sdist.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE"} <= names
    assert not [name for name in names if name.startswith((".venv", "build/", "secrets"))]


def test_the_library_needs_neither_ray_nor_mlflow(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[0]) as wheel:
        (metadata,) = [name for name in wheel.namelist() if name.endswith("/METADATA")]
        needed = Parser().parsestr(wheel.read(metadata).decode()).get_all("Requires-Dist", [])
    base = " ".join(one for one in needed if "extra ==" not in one)
    assert "torch" in base
    assert "ray" not in base
    assert "mlflow" not in base


@pytest.mark.release
@pytest.mark.timeout(3000)  # torch, Ray and MLflow are installed
def test_an_empty_environment_runs_the_first_commands(
    built: tuple[Path, Path], tmp_path: Path
) -> None:
    run(sys.executable, "-m", "venv", tmp_path / "env")
    programs = tmp_path / "env" / "bin"
    run(programs / "pip", "install", "--quiet", built[0])
    missing = "import importlib.util as u; print(u.find_spec('ray'), u.find_spec('mlflow'))"
    assert run(programs / "python", "-c", missing, cwd=tmp_path) == "None None\n"
    layer = "import torch, snn_norm; print(snn_norm.HomeostaticNorm(3)(torch.ones(2, 3)).shape)"
    assert "torch.Size([2, 3])" in run(programs / "python", "-c", layer, cwd=tmp_path)
    assert "pip install 'snn-norm[sweep]'" in run(programs / "snn-sweep", "plan", "digits", code=2)
    run(programs / "pip", "install", "--quiet", f"{built[0]}[sweep]")
    assert "21 to run" in run(programs / "snn-sweep", "plan", "digits", cwd=tmp_path)
    run(programs / "snn-sweep", "init", "mine.yaml", cwd=tmp_path)
    assert "18 to run" in run(programs / "snn-sweep", "plan", "mine.yaml", cwd=tmp_path)
