"""Whether training is slowed while the tracking server is away.

    python -m benchmarks.outage                    # 60 s of an outage; 4 minutes in all
    python -m benchmarks.outage --seconds 20

A sweep of two trials, one processor each, trains while its tracking server (SQLite) is stopped and
started again. Printed are the seconds an epoch of those that began and ended before it, in it and
after it, and whether every epoch is on record once.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.tracking import free_port, tracking_server
from orchestration import Results, SweepSpec, run_sweep
from orchestration.record.client import connect
from services.cluster import local_ray
from services.settings import Settings

_SLOTS = 2
_SPEC = SweepSpec.from_dict(
    {
        "name": "outage",
        "dataset": "digits",
        "epochs": 200,  # of about a second
        "seeds": [0, 1],
        "grid": [{"architecture": "snn", "norm": "bntt", "width": 8, "num_steps": 5}],
    }
)


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the outage")
    parser.add_argument("--after", type=float, default=60.0, help="seconds from the sweep's start")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), arguments.after, arguments.seconds)


def _measure(folder: Path, after: float, seconds: float) -> None:
    port = free_port()
    server = ExitStack()
    uri, _ = server.enter_context(tracking_server(folder, port))
    own = {"SNN_SWEEP_HOME": str(folder / "home"), "MLFLOW_TRACKING_URI": uri}
    settings = Settings.from_environment({**os.environ, **own})

    def be_away() -> tuple[float, float]:
        time.sleep(after)
        server.close()
        start = time.time()
        time.sleep(seconds)
        end = time.time()
        server.enter_context(tracking_server(folder, port))
        return start, end

    with server, local_ray(settings, num_cpus=_SLOTS), ThreadPoolExecutor() as threads:
        outage = threads.submit(be_away)
        outcome = run_sweep(_SPEC, settings=settings)
        assert outcome.failures == {}, outcome.failures
        _print(uri, *outage.result())


def _print(uri: str, gone: float, back: float) -> None:
    """A row for each part of the sweep."""
    client = connect(uri)
    assert _SPEC.epochs is not None
    parts: dict[str, list[float]] = {"before": [], "away": [], "after": []}
    for run_id in Results(_SPEC.name, tracking_uri=uri).trials()["run_id"]:
        points = client.get_metric_history(run_id, "epoch_seconds")
        assert sorted(point.step for point in points) == list(range(1, _SPEC.epochs + 1))
        for point in points:
            end = point.timestamp / 1000
            start = end - point.value
            if point.step == 1:
                continue  # it loads and prepares
            if end < gone:
                parts["before"].append(point.value)
            elif gone < start and end < back:
                parts["away"].append(point.value)
            elif start > back:
                parts["after"].append(point.value)
    if empty := [part for part, values in parts.items() if not values]:
        raise SystemExit(f"no whole epoch {' and '.join(empty)}: change --after or --seconds")
    usual = statistics.median(parts["before"])
    print("| the tracking server is | epochs | median s an epoch | before = 1 |")
    print("| --- | ---: | ---: | ---: |")
    for part, values in parts.items():
        median = statistics.median(values)
        print(f"| {part} | {len(values)} | {median:.2f} | {median / usual:.2f} |")
    print("\nevery epoch of both trials is on record once")


if __name__ == "__main__":
    main()
