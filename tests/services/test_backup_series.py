"""A series of backups: each is tried, and only the newest stay."""

from __future__ import annotations

import fcntl
import time
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from small_server import ODD, files_in, small_server

from services import backup_series
from services.backup import ServerRecord, check
from services.backup_series import METRICS_FILE, add_backup
from services.errors import BackupError


@pytest.fixture
def server(tmp_path: Path) -> ServerRecord:
    return small_server(tmp_path / "server")


def metrics(folder: Path) -> dict[str, float]:
    families = text_string_to_metric_families((folder / METRICS_FILE).read_text())
    return {sample.name: sample.value for family in families for sample in family.samples}


def backups_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir())


def test_the_newest_stay_and_nothing_else_is_deleted(server: ServerRecord, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    by_hand = ["2020-01-01T00-00-00Z of mine", "before the upgrade"]
    for name in ("2020-01-01T00-00-00Z", "2020-01-02T00-00-00Z", *by_hand):
        (folder / name).mkdir(parents=True)
    (folder / ".2020-01-03T00-00-00Z.1234.partial").mkdir()
    model = Path(server.artifacts) / "1" / "a" / "model.safetensors"
    model.write_bytes(bytes(1000))
    before = time.time()
    new, manifest = add_backup(server, folder, keep=2)
    assert check(new) == manifest
    assert backups_in(folder) == sorted(["2020-01-02T00-00-00Z", *by_hand, new.name])
    assert metrics(folder)["snn_sweep_backup_restored"] == 1
    made = metrics(folder)["snn_sweep_backup_timestamp_seconds"]
    assert before - 1 <= made <= time.time()
    assert metrics(folder)["snn_sweep_artifact_bytes"] == 1000 + len("a table")


def test_a_drill_that_fails_is_recorded_and_keeps_the_earlier_backups(
    server: ServerRecord, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "backups"
    (folder / "2020-01-01T00-00-00Z").mkdir(parents=True)

    def spoiled(record: ServerRecord, made: Path) -> None:
        (made / "artifacts" / "1" / "a" / ODD).write_text("another table")
        drill(record, made)

    drill = backup_series.drill
    monkeypatch.setattr(backup_series, "drill", spoiled)
    with pytest.raises(BackupError, match="is damaged"):
        add_backup(server, folder, keep=1)
    assert metrics(folder)["snn_sweep_backup_restored"] == 0
    assert len(backups_in(folder)) == 2


def test_two_do_not_make_a_backup_in_one_folder_at_once(
    server: ServerRecord, tmp_path: Path
) -> None:
    with (tmp_path / ".lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        before = files_in(tmp_path)
        with pytest.raises(BackupError, match="another backup is being made in"):
            add_backup(server, tmp_path, keep=1)
    assert files_in(tmp_path) == before
