"""What a command loads: no more than it needs, as importing takes longer than most answers."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec

HEAVY = (
    "torch", "ray", "mlflow", "pandas", "scipy", "matplotlib", "sqlalchemy", "starlette",
    "orchestration.page",
)  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--help"], 0),
        (["--version"], 0),
        (["plan", "wrong.yaml"], 2),
        (["run", "wrong.yaml"], 2),
        (["submit", "wrong.yaml"], 2),
        (["plan", "small.yaml"], 0),
        (["list"], 0),
        (["down"], 0),
    ],
)
def test_a_command_loads_what_it_needs(home: Path, arguments: list[str], code: int) -> None:
    Path("wrong.yaml").write_text(Path("small.yaml").read_text().replace("epochs: 2", "epochs: 0"))
    assert loaded_by(arguments, code) == []
    assert not home.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["list"],
        ["status", "small"],
        ["results", "small"],
        ["models", "small"],
        ["compare", "small", "headline-published"],
        ["paper", "small", "--output", "paper"],
    ],
)
def test_a_command_about_recorded_runs_loads_neither_torch_nor_ray(
    small: SweepSpec, arguments: list[str]
) -> None:
    arguments = [small.name if one == "small" else one for one in arguments]
    unwanted = {"torch", "ray", "matplotlib", "orchestration.page"}
    assert not unwanted & set(loaded_by(arguments, 0))


@pytest.mark.parametrize(
    ("arguments", "code"), [(["list"], 0), (["status", "small"], 2), (["results", "small"], 2)]
)
def test_a_sqlite_record_is_read_without_mlflow(
    home: Path, sqlite_database: Callable[[], str], arguments: list[str], code: int
) -> None:
    (home / "tracking").mkdir(parents=True)
    shutil.copy(sqlite_database().removeprefix("sqlite:///"), home / "tracking" / "mlflow.db")
    assert not {"torch", "ray", "mlflow", "matplotlib"} & set(loaded_by(arguments, code))


def test_a_report_loads_neither_torch_nor_ray(small: SweepSpec) -> None:
    assert not {"torch", "ray"} & set(loaded_by(["report", small.name, "--output", "report"], 0))


def test_a_sweep_that_has_finished_is_told_of_without_torch_and_ray(
    small: SweepSpec, tracking_uri: str
) -> None:
    recorder, last = Recorder(tracking_uri), small.trials()[-1]
    experiment = recorder.client.get_experiment_by_name(small.name)
    recorder.trial(experiment.experiment_id, None, RecordedTrial(last.config.given(), (0.5,)))
    Path("small.yaml").write_text(small.to_json())
    assert not {"torch", "ray", "matplotlib"} & set(loaded_by(["run", "small.yaml"], 0))


@pytest.mark.parametrize(
    ("module", "loaded"),
    [
        ("run", set()),  # the command's first line is printed after this
        ("driver", {"torch"}),
        ("train", {"ray", "pandas", "scipy"}),
    ],
)
def test_a_process_of_a_sweep_loads_what_it_needs(module: str, loaded: set[str]) -> None:
    program = (
        f"import sys, orchestration.execution.{module}\n"
        f"print([m for m in {HEAVY} if m in sys.modules])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert set(ast.literal_eval(ended.stdout)) == loaded


def loaded_by(arguments: list[str], code: int) -> list[str]:
    """Which heavy packages a command loads that ends with this code."""
    program = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([m for m in {HEAVY} if m in sys.modules]))\n"
        "from orchestration import main; main()"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=False
    )
    assert ended.returncode == code, ended.stderr
    found: list[str] = ast.literal_eval(ended.stdout.splitlines()[-1])
    return found
