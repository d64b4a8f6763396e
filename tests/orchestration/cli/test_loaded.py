"""What a command loads: no more than it needs, as importing takes longer than most answers."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from recorded import RecordedTrial, Recorder

from orchestration import SweepSpec

HEAVY = (
    "torch", "ray", "mlflow", "pandas", "scipy", "matplotlib", "sqlalchemy", "starlette",
    "orchestration.page",
)  # fmt: skip


def test_a_command_loads_what_it_needs(home: Path) -> None:
    Path("wrong.yaml").write_text(Path("small.yaml").read_text().replace("epochs: 2", "epochs: 0"))
    wrong = [([command, "wrong.yaml"], 2) for command in ("plan", "run", "submit")]
    right = [([*words.split()], 0) for words in ("--help", "--version", "plan small.yaml", "list")]
    assert loaded_by([*wrong, *right, (["down"], 0)]) == []
    assert not home.exists()


def test_a_command_about_recorded_runs_loads_neither_torch_nor_ray(small: SweepSpec) -> None:
    name = small.name
    commands = [
        ["list"],
        ["status", name],
        ["results", name],
        ["models", name],
        ["compare", name, "headline-published"],
        ["paper", name, "--output", "paper"],
    ]
    unwanted = {"torch", "ray", "matplotlib", "orchestration.page"}
    assert not unwanted & set(loaded_by([(command, 0) for command in commands]))


def test_a_sqlite_record_is_read_without_mlflow(
    home: Path, sqlite_database: Callable[[], str]
) -> None:
    (home / "tracking").mkdir(parents=True)
    shutil.copy(sqlite_database().removeprefix("sqlite:///"), home / "tracking" / "mlflow.db")
    commands = [(["list"], 0), (["status", "small"], 2), (["results", "small"], 2)]
    assert not {"torch", "ray", "mlflow", "matplotlib"} & set(loaded_by(commands))


def test_a_report_loads_neither_torch_nor_ray(small: SweepSpec) -> None:
    command = ["report", small.name, "--output", "report"]
    assert not {"torch", "ray"} & set(loaded_by([(command, 0)]))


def test_a_sweep_that_has_finished_is_told_of_without_torch_and_ray(
    small: SweepSpec, tracking_uri: str
) -> None:
    recorder, last = Recorder(tracking_uri), small.trials()[-1]
    experiment = recorder.client.get_experiment_by_name(small.name)
    recorder.trial(experiment.experiment_id, None, RecordedTrial(last.config.given(), (0.5,)))
    Path("small.yaml").write_text(small.to_json())
    loaded = loaded_by([(["run", "small.yaml"], 0)])
    assert not {"torch", "ray", "matplotlib"} & set(loaded)


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


def test_a_sweep_imports_what_its_report_needs_once_an_epoch_has_been_trained() -> None:
    program = """if True:
        import sys
        import time
        from orchestration.execution.report_process import importing_meanwhile
        from orchestration.progress.events import EpochDone, Note
        events = []
        watch = importing_meanwhile(events.append)
        watch(Note("not yet"))
        assert "matplotlib" not in sys.modules
        for _ in range(2):
            watch(EpochDone("a trial", {}))
        while "orchestration.report.write" not in sys.modules:
            time.sleep(0.1)
        assert len(events) == 3
    """
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


def loaded_by(commands: Sequence[tuple[list[str], int]]) -> list[str]:
    """The heavy packages that one process loads which runs commands that end with these codes."""
    program = f"""if True:
        import sys
        from orchestration import main
        for arguments, code in {list(commands)!r}:
            sys.argv[1:] = arguments
            try:
                main()
            except SystemExit as end:
                assert (end.code or 0) == code, (arguments, end.code)
        print([name for name in {HEAVY} if name in sys.modules])
    """
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    found: list[str] = ast.literal_eval(ended.stdout.splitlines()[-1])
    return found
