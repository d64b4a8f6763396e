"""A sweep of eighteen empty trials by the command, against the bare start of what it runs on.

    python -m benchmarks.empty_sweep            # --rounds 3; two idle cores, some minutes

The sweep has an empty home, and trains three epochs of milliseconds in each of its trials, two at
a time; it starts its tracking server (SQLite) and Ray, and writes its report. The peer starts Ray
with two workers that import torch, Ray Tune and MLflow, and stops it. Both are processes of their
own, in turn; the figure is the wall-clock time of the fastest of each, from start to end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.startup import MAIN, environment_of
from benchmarks.trivial import trivial_spec

_TRIALS = 18
_BARE = """
import ray

@ray.remote(num_cpus=1)
class Worker:
    def load(self):
        import torch, ray.tune, mlflow

ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
workers = [Worker.remote() for _ in range(2)]
ray.get([worker.load.remote() for worker in workers])
ray.shutdown()
"""


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    pairs = [(_seconds_of(_BARE, home=Path()), _seconds_of_sweep()) for _ in range(rounds)]
    bare, sweep = (min(times) for times in zip(*pairs, strict=True))
    print("| | seconds | bare start = 1 | aim |\n| --- | ---: | ---: | ---: |")
    print(f"| the bare start of Ray with two workers | {bare:.1f} | 1 | |")
    print(f"| {_TRIALS} empty trials | {sweep:.1f} | {sweep / bare:.2f} | 1.4 |")


def _seconds_of_sweep() -> float:
    with tempfile.TemporaryDirectory() as folder:
        spec = Path(folder) / "empty.yaml"
        spec.write_text(trivial_spec(_TRIALS).to_json())  # which YAML contains
        return _seconds_of(MAIN, "run", str(spec), home=Path(folder) / "home")


def _seconds_of(*program: str, home: Path) -> float:
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-c", *program],
        env=environment_of(home),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        check=True,
    )
    return time.perf_counter() - begin


if __name__ == "__main__":
    main()
