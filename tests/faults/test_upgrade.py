"""MLflow is upgraded while a sweep runs, and taken back, as docs/operations.md says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from commands import finish, undisturbed_numbers, wait_until
from laboratory import SPEC, Row, StruckSweep, struck_sweep

from orchestration import SweepSpec
from orchestration.record.client import connect

EARLIER = "3.10.0"
"""The oldest MLflow that this package supports."""

CONTENT = {**SPEC, "seeds": list(range(5))}


@pytest.fixture
def earlier_mlflow(tmp_path: Path) -> Path:
    """A folder with an earlier MLflow, which takes precedence in PYTHONPATH."""
    folder = tmp_path / "earlier"
    packages = [f"{name}=={EARLIER}" for name in ("mlflow", "mlflow-skinny", "mlflow-tracing")]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile"]
    subprocess.run([*command, "--target", str(folder), *packages], check=True)
    return folder


class Keeper:
    """Runs commands in the home of a tracking server, with MLflow of either version."""

    def __init__(self, home: Path, earlier_mlflow: Path) -> None:
        self.database = f"sqlite:///{home / 'tracking' / 'mlflow.db'}"
        others = {k: v for k, v in os.environ.items() if k != "MLFLOW_TRACKING_URI"}
        self._environment = {**others, "SNN_SWEEP_HOME": str(home)}
        self._earlier = {"PYTHONPATH": str(earlier_mlflow)}

    def run(self, *command: str | Path, earlier: bool = False, program: str = "snn-sweep") -> str:
        """Run a command, and return what it prints."""
        done = subprocess.run(
            [Path(sys.executable).with_name(program), *command],
            env=self._environment | (self._earlier if earlier else {}),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def up(self, sweep: StruckSweep | None = None, *, earlier: bool = False) -> str:
        """Start the server, which the sweep reaches from now on; return its address."""
        uri = self.run("up", earlier=earlier).split()[-1]
        if sweep is not None:
            sweep.tracking_uri = uri
            sweep.proxy.target_port = int(uri.rpartition(":")[2])
        return uri

    def revision(self) -> str:
        """The version of the database's schema."""
        with sa.create_engine(self.database, poolclass=sa.NullPool).connect() as connection:
            return str(connection.scalar(sa.text("SELECT version_num FROM alembic_version")))

    def table(self, sweep: StruckSweep, *, earlier: bool = False) -> Any:
        """The table of a sweep, from the server or, if none runs, from its database."""
        command = ("results", sweep.name, "--format", "json")
        return json.loads(self.run(*command, earlier=earlier))


def finished_trials(sweep: StruckSweep) -> int:
    client = connect(sweep.tracking_uri)
    experiment = client.get_experiment_by_name(sweep.name)
    if experiment is None:
        return 0
    return len(client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'"))


@pytest.mark.slow
@pytest.mark.release
@pytest.mark.timeout(1800)
def test_a_sweep_goes_on_while_mlflow_is_upgraded_and_after_it_is_taken_back(
    earlier_mlflow: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OWN_CODE_COUNT", str(tmp_path / "passes"))
    undisturbed = undisturbed_numbers(SweepSpec.from_dict({"name": "undisturbed", **CONTENT}))
    keeper = Keeper(tmp_path / "server", earlier_mlflow)
    backup, folder = tmp_path / "before the upgrade", tmp_path / "sweep"
    folder.mkdir()
    row = Row("upgrade of MLflow", "sqlite", seed=0)
    try:
        with struck_sweep(row, folder, keeper.up(earlier=True), undisturbed) as sweep:
            sweep.content = CONTENT
            process = sweep.start()
            wait_until(lambda: finished_trials(sweep) >= 2 or process.poll() is not None)
            keeper.run("down")
            passes = sweep.passes
            revision, table = keeper.revision(), keeper.table(sweep, earlier=True)
            keeper.run("backup", backup, earlier=True)
            keeper.run("db", "upgrade", keeper.database, program="mlflow")
            assert keeper.revision() != revision
            assert sweep.passes > passes, "nothing was trained meanwhile"
            keeper.up(sweep)
            finish(process, 0)
            sweep.check_record()
            whole_table = keeper.table(sweep)
            assert whole_table != table

            keeper.run("down")
            keeper.run("restore", backup, "--overwrite", earlier=True)
            assert keeper.revision() == revision
            assert keeper.table(sweep, earlier=True) == table
            keeper.up(sweep, earlier=True)
            finish(sweep.start(), 0)
            sweep.check_record()
            assert keeper.table(sweep, earlier=True) == whole_table
    finally:
        keeper.run("down")
