"""How long MLflow's API takes to answer while the heaviest pages of sweeps are loaded.

    python -m benchmarks.page_load
    python -m benchmarks.page_load --trials 1000 --cells 1000 --seconds 10

On this project's tracking server over SQLite, with a sweep of 10,000 finished runs and one whose
spec has 9,000 cells. Requests of the API are timed that read a run, and that record a metric: at
first while nobody loads a page, then while eight clients load the pages of both sweeps, their
tables and comparisons.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import requests
from mlflow import MlflowClient

from benchmarks.recorded_runs import SWEEP, fill
from orchestration.record import names as contract
from orchestration.sweep.spec import SweepSpec
from services import server

_WIDE = "wide"
"""The sweep with many cells."""
_PAGES = [
    f"{_WIDE}/compare?with={_WIDE}",
    SWEEP,
    f"{SWEEP}/compare?with={_WIDE}",
    _WIDE,
    f"{SWEEP}/compare.tex?with={_WIDE}",
    f"{_WIDE}/table.tex",
]
_PAUSE_SECONDS = 0.05


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=10_000, help="a multiple of 1,000")
    parser.add_argument("--cells", type=int, default=9_000, help="a multiple of 100")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60, help="of each of both measurements")
    arguments = parser.parse_args()
    print(
        f"{platform.platform()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}"
    )
    with tempfile.TemporaryDirectory(prefix="page-load-") as name:
        folder = Path(name)
        fill(f"sqlite:///{folder / 'mlflow.db'}", arguments.trials, folder.as_uri())
        running = server.launch(folder, server.DEFAULT_DATABASE, kept=True)
        try:
            _measure(running.uri, arguments)
        finally:
            server.stop(folder, running)


def _measure(uri: str, arguments: argparse.Namespace) -> None:
    client = MlflowClient(uri)
    _record_wide(client, arguments.cells)
    run = client.create_run(client.create_experiment("another")).info.run_id
    for page in _PAGES:  # each is read once before
        requests.get(f"{uri}/sweeps/{page}", timeout=600).raise_for_status()
    idle = _api_seconds(uri, run, arguments.seconds)
    with _visitors(uri, arguments.clients) as loaded:
        beside = _api_seconds(uri, run, arguments.seconds)
    print("\n| the API | while | n | median | 99th percentile | longest | 99th, idle = 1 |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for what, alone in idle.items():
        for words, seconds in (
            ("nobody loads a page", alone),
            (f"{arguments.clients} clients load pages", beside[what]),
        ):
            shown = (statistics.median(seconds), _p99(seconds), max(seconds))
            times = " | ".join(f"{1000 * one:.0f} ms" for one in shown)
            ratio = _p99(seconds) / _p99(alone)
            print(f"| {what} | {words} | {len(seconds)} | {times} | {ratio:.1f} |")
    took, sizes = [seconds for seconds, _ in loaded], [size for _, size in loaded]
    print(
        f"\nThe clients loaded {len(loaded)} pages, {len(loaded) / arguments.seconds:.1f} a "
        f"second, of {statistics.mean(sizes) / 1e6:.1f} MB on average; a page took "
        f"{statistics.median(took):.2f} s (median), at most {max(took):.2f} s. Load of the "
        f"machine: {psutil.getloadavg()[0]:.1f}."
    )


def _record_wide(client: MlflowClient, cells: int) -> None:
    """A sweep of which no trial has begun."""
    grid = {
        "architecture": "snn",
        "norm": "bntt",
        "slope": [1.0 + i for i in range(10)],
        "beta": [0.5 + i / 25 for i in range(10)],
        "threshold": [0.5 + i / 100 for i in range(cells // 100)],
    }
    spec = SweepSpec.from_dict(
        {"name": _WIDE, "dataset": "digits", "epochs": 100, "seeds": [42], "grid": [grid]}
    )
    tags = {
        contract.ROLE_TAG: "sweep", contract.NAME_TAG: _WIDE, contract.STATUS_TAG: "stopped",
        **contract.spec_tags(spec.to_json()),
    }  # fmt: skip
    client.create_run(client.create_experiment(_WIDE), tags=tags, run_name=_WIDE)


def _api_seconds(uri: str, run: str, seconds: float) -> dict[str, list[float]]:
    """Seconds that requests of the API took which read and which record, one after the other each.

    Both are made at the same time, so that what holds up the server holds up a request of each.
    """
    deadline = time.monotonic() + seconds

    def record(session: requests.Session, number: int) -> requests.Response:
        metric = {"key": "test_accuracy", "value": 0.5, "step": number}
        body = {"run_id": run, "timestamp": time.time_ns() // 1_000_000, **metric}
        return session.post(f"{uri}/api/2.0/mlflow/runs/log-metric", json=body, timeout=600)

    def read(session: requests.Session, _: int) -> requests.Response:
        asked = {"run_id": run}
        return session.get(f"{uri}/api/2.0/mlflow/runs/get", params=asked, timeout=600)

    def timed(request: Callable[[requests.Session, int], requests.Response]) -> list[float]:
        took: list[float] = []
        with requests.Session() as session:
            while time.monotonic() < deadline:
                start = time.perf_counter()
                request(session, len(took)).raise_for_status()
                took.append(time.perf_counter() - start)
                time.sleep(_PAUSE_SECONDS)
        return took

    with ThreadPoolExecutor(2) as pool:
        both = {"reads a run": read, "records a metric": record}
        asked = {what: pool.submit(timed, request) for what, request in both.items()}
        return {what: one.result() for what, one in asked.items()}


def _p99(seconds: list[float]) -> float:
    return statistics.quantiles(seconds, n=100, method="inclusive")[98]


@contextmanager
def _visitors(uri: str, clients: int) -> Iterator[list[tuple[float, int]]]:
    """So many clients that load pages, in a process of their own.

    Gives a list that holds seconds and bytes of each page once they have ended.
    """
    ours, theirs = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=_visit, args=(uri, clients, theirs), daemon=True)
    process.start()
    assert ours.recv() == "begun"
    loaded: list[tuple[float, int]] = []
    yield loaded
    ours.send("end")
    loaded += ours.recv()
    process.join()


def _visit(uri: str, clients: int, told: Connection) -> None:
    """Load one page after the other, each client from another one on, until told to end."""

    def visit(first: int) -> list[tuple[float, int]]:
        found = []
        with requests.Session() as session:
            for page in islice(cycle(_PAGES), first, None):
                start = time.perf_counter()
                reply = session.get(f"{uri}/sweeps/{page}", timeout=600)
                reply.raise_for_status()
                found.append((time.perf_counter() - start, len(reply.content)))
                if told.poll():
                    return found
        raise AssertionError

    with ThreadPoolExecutor(clients) as pool:
        visits = [pool.submit(visit, number) for number in range(clients)]
        told.send("begun")
        loaded = [one for visit_ in visits for one in visit_.result()]
    told.recv()
    told.send(loaded)


if __name__ == "__main__":
    main()
