"""A sweep whose curves have been moved into its file answers as before, whatever interrupts it."""

from __future__ import annotations

import math
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import requests
import sqlalchemy as sa
from click.testing import CliRunner, Result
from mlflow.entities import Metric
from pyarrow import parquet
from recorded import START_MS, RecordedTrial, Recorder
from whole_sweep import LAYERS, digests, record_digits

from orchestration import Results
from orchestration.cli.main import cli
from orchestration.cluster.move_curves import Curves
from orchestration.record.client import connect
from orchestration.record.finished_trial import read_finished
from orchestration.report import write
from orchestration.report.write import write_report
from orchestration.store.lease import sweep_lease
from orchestration.store.open import sweep_storage
from services import server
from services.settings import Settings
from services.tracking import tracking_server

OF_SWEEP = "FROM {} JOIN runs USING (run_uuid) JOIN experiments USING (experiment_id)"

KILLED = """if True:
    import os, signal, sys
    from orchestration import main
    from orchestration.cluster.move_curves import Curves
    name, method, call = sys.argv[1:]
    Curves.rows_at_once = 200
    real, left = getattr(Curves, method), int(call)
    def killed(*arguments):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments)
    setattr(Curves, method, killed)
    sys.argv[1:] = ["archive", name, "--delete"]
    main()
"""
"""The command, which is killed when it calls a method for the nth time."""


class Recorded:
    """A recorded sweep on a server, which the settings name with its database."""

    def __init__(self, name: str, uri: str, database: str) -> None:
        self.name, self.uri, self.database = name, uri, database
        self.client = connect(uri)
        self.experiment, self.parent = record_digits(uri, name, trials=6)
        self.ways = {"tracking_uri": uri}, {"database_url": database}
        self.engine = sa.create_engine(database, poolclass=sa.NullPool)

    def trial(self, number: int, **more: Any) -> str:
        """Record a further trial, with diagnostics and with values that are no usual numbers."""
        config = {"dataset": "digits", "architecture": "snn", "norm": "bntt", "seed": number}
        odd = {"train_loss": [math.nan, math.inf, 0.1 + 0.2], f"rate.{LAYERS[0]}": [0.25, 1 / 3]}
        trial = RecordedTrial(config, (0.5, 0.25, 0.75), key=f"{number:016x}", metrics=odd, **more)
        run = Recorder(self.uri).trial(self.experiment, self.parent, trial)
        again = [Metric("train_loss", value, START_MS, 3) for value in (0.5, 0.75, math.nan)]
        self.client.log_batch(run, again)
        return run

    def rows(self, table: str = "metrics") -> list[Any]:
        query = f"SELECT {table}.* {OF_SWEEP.format(table)} WHERE experiments.name = :name"
        with self.engine.connect() as connection:
            return sorted(connection.execute(sa.text(query), {"name": self.name}).all())

    def file(self) -> str:
        return str(self.client.get_run(self.parent).data.tags["snn_sweep.curves"])

    def in_file(self, folder: Path) -> int:
        """The number of rows in the file, each of which it has once."""
        path = self.client.download_artifacts(self.parent, self.file(), str(folder))
        rows = parquet.read_table(path).to_pylist()
        assert len({tuple(row.values()) for row in rows}) == len(rows)
        return len(rows)

    def answers(self) -> dict[Any, Any]:
        found: dict[Any, Any] = {}
        for where in self.ways:
            results = Results(self.name, **where)
            for ask in (
                *(Results.curves, Results.diagnostics, Results.trials, Results.best_of_seeds),
                *(Results.last_epoch, Results.models),
            ):
                found[*where, ask.__name__] = ask(results).to_csv()
        return found


def command(*arguments: object, code: int = 0) -> Result:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments])
    assert result.exit_code == code, result.output
    return result


@pytest.fixture(params=["sqlite", "postgres"])
def on_either(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Recorded]:
    """A sweep on a server on each kind of database."""
    if request.param == "sqlite":
        yield request.getfixturevalue("recorded")
        return
    request.getfixturevalue("home")
    database = request.getfixturevalue("postgres_database")()
    (folder := tmp_path / "a server").mkdir()
    running = server.launch(folder, database, kept=True)
    try:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", running.uri)
        monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", database)
        yield Recorded("digits é", running.uri, database)
    finally:
        server.stop(folder, running)


@pytest.fixture
def recorded(
    home: Path, tracking_uri: str, tracking_home: Path, monkeypatch: pytest.MonkeyPatch
) -> Recorded:
    """A sweep on the server that all tests share."""
    database = f"sqlite:///{tracking_home / 'tracking' / 'mlflow.db'}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", tracking_uri)
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", database)
    return Recorded(f"archived {home}".replace("/", "-"), tracking_uri, database)


def test_everything_that_reads_curves_answers_as_before_byte_for_byte(
    on_either: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(write, "draw", lambda _data: [])  # pictures take seconds each
    sweep = on_either
    sweep.trial(1)
    sweep.trial(2, status="KILLED", outcome="pruned")
    sweep.trial(3, tags={"snn_sweep.role": "replaced"})
    trial = str(Results(sweep.name).trials()["run_id"].iloc[0])

    def everything(folder: Path) -> dict[Any, Any]:
        write_report(sweep.name, folder)
        command("export", sweep.name, folder / "exported.jsonl")
        page = requests.get(f"{sweep.uri}/sweeps/{sweep.name}/trials/{trial}", timeout=60)
        assert page.ok
        assert "<svg" in page.text
        return {**sweep.answers(), "files": digests(folder), "page": page.text}

    before, rows = everything(tmp_path / "before"), sweep.rows()
    latest, said = sweep.rows("latest_metrics"), command("archive", sweep.name).output
    assert f"{len(rows):,} rows of curves" in said
    assert sweep.rows() == rows
    if sweep.engine.dialect.name == "postgresql":
        with monkeypatch.context() as patch:
            only_reading = f"{sweep.database}&options=-c%20default_transaction_read_only%3Don"
            patch.setenv("SNN_SWEEP_DATABASE_URL", only_reading)
            said = command("archive", sweep.name, "--delete", code=2).output
        assert "name a user who may delete them in SNN_SWEEP_DATABASE_URL" in said
        assert "snn_sweep.curves" not in sweep.client.get_run(sweep.parent).data.tags
    said = command("archive", sweep.name, "--delete").output
    assert f"{len(rows):,} rows moved to {sweep.file()}" in said
    assert (sweep.rows(), sweep.rows("latest_metrics")) == ([], latest)
    assert everything(tmp_path / "after") == before
    assert sweep.in_file(tmp_path) == len(rows)
    assert "there is nothing to delete" in command("archive", sweep.name, "--delete").output


def test_a_command_that_is_killed_at_any_step_loses_and_doubles_nothing(
    recorded: Recorded, tmp_path: Path
) -> None:
    before, rows = recorded.answers(), recorded.rows()
    left = []
    steps = (
        ("_table", 3),  # while the file is written
        ("_table", 5),  # while it is compared
        ("_record", 1),
        ("_delete", 2),  # the first call only tries whether it may
        ("_delete", 3),  # half of the rows are deleted
    )
    for name, call in steps:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, recorded.name, name, str(call)], check=False
        )
        assert killed.returncode == -signal.SIGKILL
        assert recorded.answers() == before
        left.append(len(recorded.rows()))
    assert left[:-1] == 4 * [len(rows)]
    assert 0 < left[-1] < len(rows)
    command("archive", recorded.name, "--delete")
    assert recorded.rows() == []
    assert recorded.in_file(tmp_path) == len(rows)
    assert recorded.answers() == before


def test_seeds_that_are_added_later_are_read_from_the_database_and_archived_with_the_others(
    recorded: Recorded, tmp_path: Path
) -> None:
    before = recorded.answers()
    command("archive", recorded.name, "--delete")
    assert recorded.answers() == before
    first, moved = recorded.file(), recorded.in_file(tmp_path)
    run = recorded.trial(1)
    new = len(recorded.rows())
    both = recorded.answers()
    assert both != before
    of_run = read_finished(recorded.client, recorded.client.get_run(run))
    command("archive", recorded.name, "--delete")
    assert recorded.answers() == both
    again = read_finished(recorded.client, recorded.client.get_run(run))
    assert repr(again) == repr(of_run)  # in the same order, with every NaN
    assert recorded.file() != first
    assert recorded.in_file(tmp_path) == moved + new


def test_what_is_recorded_meanwhile_stays_in_the_database(
    recorded: Recorded, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows, run = recorded.rows(), str(Results(recorded.name).trials()["run_id"].iloc[0])
    record = Curves._record

    def and_a_late_value(curves: Curves, *arguments: Any) -> None:
        record(curves, *arguments)
        recorded.client.log_metric(run, "test_loss", 0.5, START_MS, 99)

    with monkeypatch.context() as patch:
        patch.setattr(Curves, "_record", and_a_late_value)
        said = command("archive", recorded.name, "--delete", code=1).output
    assert "something has been recorded" in said
    assert len(recorded.rows()) == len(rows) + 1
    before = recorded.answers()
    command("archive", recorded.name, "--delete")
    assert (recorded.rows(), recorded.answers()) == ([], before)


def test_a_sweep_that_is_not_finished_is_left_alone(recorded: Recorded) -> None:
    rows, name = recorded.rows(), recorded.name
    storage = sweep_storage(Settings.from_environment(), name)
    with sweep_lease(storage, name):
        said = command("archive", name, "--delete", code=1).output
    assert "is being run by" in said
    recorded.client.set_tag(recorded.parent, "snn_sweep.status", "running")
    assert "its status is running" in command("archive", name, "--delete", code=2).output
    recorded.client.set_tag(recorded.parent, "snn_sweep.status", "stopped")
    recorded.trial(1, status=None)
    assert "1 trials are running" in command("archive", name, code=2).output
    assert len(recorded.rows()) > len(rows)


def test_without_the_database_of_the_server_it_says_what_to_set(
    recorded: Recorded, sqlite_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = recorded.rows()
    monkeypatch.setenv("SNN_SWEEP_DATABASE_URL", sqlite_database())  # another server's
    assert "there is nothing to delete" in command("archive", recorded.name, "--delete").output
    monkeypatch.delenv("SNN_SWEEP_DATABASE_URL")
    said = command("archive", recorded.name, "--delete", code=2).output
    assert "set SNN_SWEEP_DATABASE_URL to its URL" in said
    assert recorded.rows() == rows


def test_the_file_is_read_without_a_server_and_is_in_backups_but_not_in_what_gc_deletes(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracking_server(Settings.from_environment()) as uri:
        _, parent = record_digits(uri, "kept", trials=3)
    before = [Results("kept").curves(), Results("kept").trials()]
    command("archive", "kept", "--delete")
    command("gc", "--delete")
    command("backup", tmp_path / "a backup")
    (file,) = home.glob(f"tracking/artifacts/*/{parent}/artifacts/curves/*.parquet")
    for place in (home, tmp_path / "another home"):
        monkeypatch.setenv("SNN_SWEEP_HOME", str(place))
        if place != home:
            file.unlink()
            command("restore", tmp_path / "a backup")
        for frame, earlier in zip(
            [Results("kept").curves(), Results("kept").trials()], before, strict=True
        ):
            pd.testing.assert_frame_equal(frame, earlier, check_exact=True)
        assert len(before[0]) > 0
