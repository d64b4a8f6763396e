"""A dump of a database is one state of it, and is loaded whole or not at all: SQLite, Postgres."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import sqlalchemy as sa
from small_server import REVISION, execute, fill

from services.dumps import Database, database_at
from services.errors import BackupError, ServiceError

Maker = Callable[[], Database]

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgres"])
def new(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Maker]:
    """Makes empty databases of a kind."""
    if request.param == "sqlite":
        yield lambda: database_at(f"sqlite:///{tmp_path}/naïve {next(_numbers)}.db")
        return
    request.getfixturevalue("postgres_programs")
    server = sa.make_url(request.getfixturevalue("postgres_server"))
    with ExitStack() as stack:
        postgres = database_at(server.render_as_string(hide_password=False))
        yield lambda: stack.enter_context(postgres.temporary(tmp_path))


@pytest.fixture
def database(new: Maker) -> Database:
    database = new()
    fill(url_of(database))
    return database


def url_of(database: Database) -> str:
    return database.url.render_as_string(hide_password=False)


def test_a_loaded_dump_has_the_same_contents(
    database: Database, new: Maker, tmp_path: Path
) -> None:
    contents = database.dump(tmp_path / "dump")
    assert contents.revision == REVISION
    assert contents.rows == {
        "alembic_version": 1, "experiments": 2, "latest_metrics": 1, "runs": 2
    }  # fmt: skip
    assert database.runs() == {"digits": 2}
    for other in (new(), database):
        execute(url_of(other), "CREATE TABLE further (id INTEGER)")  # by a newer MLflow
        with other.loading(tmp_path / "dump") as commit:
            commit()
        assert other.contents() == contents


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE latest_metrics SET value = 0.3",
        "DELETE FROM runs WHERE run_uuid = 'b'",
        "CREATE TABLE further (id INTEGER)",
    ],
)
def test_contents_differ_by_a_row_a_table_or_the_last_bit_of_a_metric(
    database: Database, change: str
) -> None:
    before = database.contents()
    execute(url_of(database), change)
    assert database.contents() != before


def test_rows_that_are_written_meanwhile_are_in_all_tables_or_in_none(
    database: Database, new: Maker, tmp_path: Path
) -> None:
    """A writer adds a run and its metric in one transaction, over and over."""
    ended, written = threading.Event(), threading.Event()

    def write() -> None:
        for number in itertools.count():
            run = f"'run {number}'"
            execute(
                url_of(database),
                f"INSERT INTO runs VALUES ({run}, 1, 'FINISHED', '')",
                f"INSERT INTO latest_metrics VALUES ({run}, 'accuracy', 0.5, 1, false)",
            )
            written.set()
            if ended.is_set():
                return

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            assert written.wait(60)
            written.clear()
            contents = database.dump(tmp_path / f"dump {number}")
            assert contents.rows["runs"] == contents.rows["latest_metrics"] + 1
            restored = new()
            with restored.loading(tmp_path / f"dump {number}") as commit:
                commit()
            assert restored.contents() == contents
    finally:
        ended.set()
        writer.join()


def test_without_a_commit_nothing_changes(database: Database, tmp_path: Path) -> None:
    database.dump(tmp_path / "dump")
    execute(url_of(database), "UPDATE latest_metrics SET value = 0.5")
    before = database.contents()
    with database.loading(tmp_path / "dump"):
        pass
    assert database.contents() == before


def test_a_damaged_dump_changes_nothing(database: Database, tmp_path: Path) -> None:
    database.dump(tmp_path / "dump")
    whole = (tmp_path / "dump").read_bytes()
    before = database.contents()
    for damaged in (whole[: len(whole) * 2 // 3], b"no dump" * 1000):
        (tmp_path / "damaged").write_bytes(damaged)
        with pytest.raises(BackupError, match="damaged"), database.loading(tmp_path / "damaged"):
            pass
        assert database.contents() == before


@pytest.mark.usefixtures("postgres_programs")
def test_the_owner_of_a_postgres_database_may_load_what_he_may_create(
    postgres_server: str, tmp_path: Path
) -> None:
    server = database_at(postgres_server)
    owner = "dumps_owner"
    execute(postgres_server, f"CREATE ROLE {owner} LOGIN")
    try:
        with server.temporary(tmp_path) as its, server.temporary(tmp_path) as other:
            fill(url_of(its))
            function = "CREATE FUNCTION a() RETURNS int LANGUAGE sql AS 'SELECT 1'"
            execute(url_of(its), function)
            contents = its.dump(tmp_path / "dump")
            execute(url_of(other), f"ALTER DATABASE {other.url.database} OWNER TO {owner}")
            as_owner = database_at(url_of(other).replace("://postgres", f"://{owner}"))
            assert as_owner.url.username == owner
            for _ in range(2):  # the second time in place of its own function
                with as_owner.loading(tmp_path / "dump") as commit:
                    commit()
                assert as_owner.contents() == contents
            execute(url_of(its), "CREATE FUNCTION b() RETURNS int LANGUAGE internal AS 'now'")
            its.dump(tmp_path / "refused")
            refused = pytest.raises(BackupError, match="permission denied for language internal")
            with refused, as_owner.loading(tmp_path / "refused"):
                pass
            assert as_owner.contents() == contents
    finally:
        execute(postgres_server, f"DROP ROLE {owner}")


def test_a_missing_program_or_server_is_named(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if database.suffix != "dump":
        pytest.skip("SQLite needs neither")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServiceError, match=r"pg_dump is missing.*postgresql-client"):
        database.dump(tmp_path / "dump")
    away = database_at("postgresql+psycopg://user:s3cret@127.0.0.1:1/mlflow")
    with pytest.raises(ServiceError, match="cannot be used") as caught:
        away.contents()
    assert "s3cret" not in str(caught.value)
