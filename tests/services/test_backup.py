"""A backup is complete or not there, and a restoration succeeds or changes nothing."""

from __future__ import annotations

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from small_server import ODD, execute, files_in, record_in, small_server

from services.backup import ServerRecord, backup, check, drill, overwritten, restore
from services.errors import BackupError, DiffersError


@pytest.fixture
def server(tmp_path: Path) -> ServerRecord:
    """What a server with a login has recorded."""
    return small_server(tmp_path / "server")


def test_everything_is_restored(server: ServerRecord, tmp_path: Path) -> None:
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "ray_token").write_text("token")
    folder = tmp_path / "backups" / "first"
    backup(server, folder, tmp_path / "secrets")
    assert (folder / "secrets" / "ray_token").read_text() == "token"
    assert folder.stat().st_mode & 0o077 == 0, "others can read the secrets"
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)
    assert [path.name for path in folder.parent.iterdir()] == ["first"]

    empty = record_in(tmp_path / "empty")
    assert overwritten(empty) == []
    restore(empty, folder)
    for mine, its in zip(empty.databases().values(), server.databases().values(), strict=True):
        assert mine.contents() == its.contents()
    assert files_in(Path(empty.artifacts)) == files_in(Path(server.artifacts))
    assert overwritten(empty) == ["experiment 'digits' (2 runs)", f"1 files in {empty.artifacts}"]


def test_what_there_was_is_gone_after_a_restoration(server: ServerRecord, tmp_path: Path) -> None:
    backup(server, tmp_path / "backup")
    before = files_in(Path(server.artifacts))
    (Path(server.artifacts) / "1" / "newer").mkdir()
    (Path(server.artifacts) / "1" / "newer" / "file").touch()
    execute(server.database, "UPDATE latest_metrics SET value = 0.9")
    restore(server, tmp_path / "backup")
    assert files_in(Path(server.artifacts)) == before
    assert next(iter(server.databases().values())).contents().digest == (
        check(tmp_path / "backup").databases["mlflow.db"].digest
    )


def spoil_byte(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


@pytest.mark.parametrize("name", ["mlflow.db", "users.db", "manifest.json", f"artifacts/1/a/{ODD}"])
@pytest.mark.parametrize("damage", [spoil_byte, Path.unlink])
def test_a_damaged_backup_is_refused_and_changes_nothing(
    server: ServerRecord, tmp_path: Path, name: str, damage: object
) -> None:
    folder = tmp_path / "backup"
    backup(server, folder)
    assert callable(damage)
    damage(folder / name)
    empty = record_in(tmp_path / "empty")
    said = r"manifest\.json|is damaged: (?s:.*) (has changed|is missing)"
    for refused in (restore, drill):
        with pytest.raises(BackupError, match=said):
            refused(empty, folder)
    assert list((tmp_path / "empty").iterdir()) == []


def test_a_file_that_no_checksum_is_of_is_not_trusted(server: ServerRecord, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(server, folder)
    lines = (folder / "SHA256SUMS").read_text().splitlines(keepends=True)
    (folder / "SHA256SUMS").write_text("".join(line for line in lines if "users.db" not in line))
    with pytest.raises(BackupError, match=r"SHA256SUMS lacks users\.db"):
        check(folder)
    (folder / "SHA256SUMS").write_text("nothing\n")
    with pytest.raises(BackupError, match="is damaged: SHA256SUMS"):
        check(folder)


def test_a_backup_of_a_newer_mlflow_is_refused(server: ServerRecord, tmp_path: Path) -> None:
    execute(server.database, "UPDATE alembic_version SET version_num = 'fedcba987654'")
    backup(server, tmp_path / "backup")
    with pytest.raises(BackupError, match=r"made with MLflow .* \(version fedcba987654\) MLflow"):
        restore(record_in(tmp_path / "empty"), tmp_path / "backup")


def test_what_does_not_fit_is_refused(server: ServerRecord, tmp_path: Path) -> None:
    backup(server, tmp_path / "backup")
    empty = record_in(tmp_path / "empty")
    postgres = "postgresql+psycopg://nobody@127.0.0.1:1/mlflow"
    for record, words in (
        (replace(empty, users=None), "no database is named for users.db"),
        (replace(empty, database=postgres), "no database is named for mlflow.db"),
        (replace(empty, artifacts="s3://mlflow/artifacts"), "cannot be restored to s3://mlflow"),
    ):
        with pytest.raises(BackupError, match=words):
            restore(record, tmp_path / "backup")
    with pytest.raises(BackupError, match="is not a backup"):
        restore(empty, tmp_path)
    with pytest.raises(BackupError, match="backup exists: name a folder that does not"):
        backup(server, tmp_path / "backup")
    assert list((tmp_path / "empty").iterdir()) == []


def test_artifacts_in_s3_are_left_out(server: ServerRecord, tmp_path: Path) -> None:
    elsewhere = replace(server, artifacts="s3://mlflow/artifacts")
    assert backup(elsewhere, tmp_path / "backup").artifacts == "s3://mlflow/artifacts"
    before = files_in(Path(server.artifacts))
    restore(server, tmp_path / "backup")
    assert files_in(Path(server.artifacts)) == before


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    if os.getuid() != 0:
        pytest.skip("a small tmpfs is mounted by root alone")
    folder = tmp_path / "disk"
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=True)
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def test_a_full_disk_leaves_no_backup_and_no_half_restoration(
    server: ServerRecord, tmp_path: Path, small_disk: Path
) -> None:
    (Path(server.artifacts) / "large").write_bytes(os.urandom(2_000_000))
    with pytest.raises(BackupError, match=r"no backup was made: .*No space left"):
        backup(server, small_disk / "backup")
    assert list(small_disk.iterdir()) == []

    backup(server, tmp_path / "backup")
    full = record_in(small_disk / "server")
    (Path(full.artifacts)).mkdir()
    (Path(full.artifacts) / "former").touch()
    with pytest.raises(BackupError, match=r"nothing was restored: .*No space left"):
        restore(full, tmp_path / "backup")
    assert list(files_in(small_disk)) == ["server/artifacts/former"]


def test_a_drill_restores_beside_and_compares(server: ServerRecord, tmp_path: Path) -> None:
    folder = tmp_path / "backup"
    backup(server, folder)
    execute(server.database, "UPDATE latest_metrics SET value = 0.9")  # after the backup
    before = files_in(tmp_path)
    drill(server, folder)
    assert files_in(tmp_path) == before

    sums, held = (folder / "SHA256SUMS").read_text(), (folder / "manifest.json").read_bytes()
    changed = held.replace(b'"runs": 2', b'"runs": 3')
    (folder / "manifest.json").write_bytes(changed)
    digests = [hashlib.sha256(content).hexdigest() for content in (held, changed)]
    (folder / "SHA256SUMS").write_text(sums.replace(*digests))
    with pytest.raises(DiffersError, match="differs from what was backed up: rows of runs"):
        drill(server, folder)
    assert sorted(tmp_path.iterdir()) == sorted([folder, tmp_path / "server"])
