"""Backups by the command: what is restored answers as before, and overwrites only when asked to."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result
from recorded import RecordedTrial, Recorder
from whole_sweep import digests

from orchestration import SweepSpec
from orchestration.cli.main import cli
from orchestration.errors import UNREACHABLE, WRONG_INPUT
from services.dumps import database_at

SPEC = {
    "name": "kept",
    "dataset": "digits",
    "epochs": 2,
    "seeds": [1, 2],
    "grid": [{"architecture": "ann", "norm": ["none", "batchnorm"], "width": 2}],
}


def command(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


def record(uri: str, name: str = "kept") -> None:
    spec = SweepSpec.from_dict({**SPEC, "name": name})
    recorder = Recorder(uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    for number, trial in enumerate(spec.trials()):
        values = (0.1 + 0.2, 0.7 + number / 30)
        recorder.trial(experiment, parent, RecordedTrial(trial.config.given(), values))


def answer(database: str) -> object:
    from orchestration import Results

    return (
        Results("kept", database_url=database)
        .trials()
        .to_json(double_precision=15, date_format="iso")
    )


@pytest.fixture
def server(home: Path, sqlite_database: Callable[[], str]) -> Path:
    """A home whose server has recorded a sweep with an artifact, and has been stopped."""
    tracking = home / "tracking"
    artifact = tracking / "artifacts" / "1" / "a run" / "artifacts" / "naïve table.txt"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("a table")
    database = sqlite_database()
    shutil.copy(database.removeprefix("sqlite:///"), tracking / "mlflow.db")
    record(f"sqlite:///{tracking / 'mlflow.db'}")
    return home


def table() -> object:
    return json.loads(command("results", "kept", "--format", "json").stdout)


def test_what_is_restored_into_an_empty_home_answers_as_before(
    server: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = table()
    said = command("backup", tmp_path / "a backup").stdout
    assert "a backup: 5 runs, as they were at 20" in said
    monkeypatch.setenv("SNN_SWEEP_HOME", str(tmp_path / "empty"))
    assert "restored: 5 runs" in command("restore", tmp_path / "a backup").stdout
    assert table() == before
    restored = digests(tmp_path / "empty" / "tracking" / "artifacts")
    assert restored == digests(server / "tracking" / "artifacts") != {}


def test_a_server_that_has_sweeps_is_overwritten_only_if_that_is_asked_for(
    server: Path, tmp_path: Path
) -> None:
    command("backup", tmp_path / "backup")
    record(f"sqlite:///{server / 'tracking' / 'mlflow.db'}", "newer")
    for line in ("experiment 'kept' (5 runs)", "experiment 'newer' (5 runs)", "1 files in"):
        assert line in command("restore", tmp_path / "backup", code=WRONG_INPUT).stderr
    assert "newer" in command("list").stdout
    assert "experiment 'newer'" in command("restore", tmp_path / "backup", "--overwrite").stderr
    assert "newer" not in command("list").stdout
    assert "kept" in command("list").stdout


def test_a_server_elsewhere_is_not_backed_up_from_here(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = command("backup", tmp_path / "backup", code=WRONG_INPUT).stderr
    assert "there is nothing to back up: /" in said
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking.example")
    said = command("backup", tmp_path / "backup", code=WRONG_INPUT).stderr
    assert "MLFLOW_TRACKING_URI names a server whose files are not known here" in said
    assert "--database, and --artifacts" in said
    assert not home.exists()
    assert not (tmp_path / "backup").exists()


@pytest.mark.usefixtures("postgres_programs", "home")
def test_postgres_is_backed_up_and_restored_into_an_empty_database(
    postgres_database: Callable[[], str], tmp_path: Path
) -> None:
    live = postgres_database()
    record(live)
    artifact = tmp_path / "artifacts" / "1" / "table.txt"
    artifact.parent.mkdir(parents=True)
    artifact.write_text("a table")
    here = ("--database", live, "--artifacts", tmp_path / "artifacts")
    command("backup", tmp_path / "backup", *here)
    with database_at(live).temporary(tmp_path) as empty:
        url = empty.url.render_as_string(hide_password=False)
        there = ("--database", url, "--artifacts", tmp_path / "restored")
        command("restore", tmp_path / "backup", *there)
        assert answer(url) == answer(live)
    assert (tmp_path / "restored" / "1" / "table.txt").read_text() == "a table"

    again = ("restore", tmp_path / "backup", *here)
    assert "experiment 'kept' (5 runs)" in command(*again, code=WRONG_INPUT).stderr
    # MLflow's store, which has recorded the sweep, is still connected.
    used = command(*again, "--overwrite", code=UNREACHABLE)
    assert re.search(r"connections to .* are open: stop the tracking server", used.stderr)


def test_the_composed_cluster_calls_it_as_it_can_be_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compose = yaml.safe_load((Path(__file__).parents[3] / "docker-compose.yml").read_text())
    by_hand, nightly = (compose["services"][name] for name in ("backup", "nightly"))
    for name, value in by_hand["environment"].items():
        monkeypatch.setenv(name, value)
    name, *arguments = by_hand["command"]
    assert f"snn-sweep {' '.join(by_hand['command'])} &&" in nightly["command"][0]
    words = {"/run/secrets": str(tmp_path), "${BACKUPS_KEPT:-7}": "7"}
    with cli.commands[name].make_context(
        name, [words.get(word, word) for word in arguments]
    ) as context:
        assert context.params == {
            "folder": Path("/srv/backups"),
            "keep": 7,
            "secrets": tmp_path,
            "database": "postgresql://postgres@postgres/mlflow",
            "users": "postgresql://postgres@postgres/mlflow_auth",
            "artifacts": "${MLFLOW_ARTIFACTS:-/srv/artifacts}",
        }
    assert set(by_hand["secrets"]) == set(compose["secrets"])
    assert compose["services"]["mlflow"]["volumes"][0] in by_hand["volumes"]
