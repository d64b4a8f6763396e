"""How a sweep grows: more worker nodes, more trials.

    python -m benchmarks.scale                              # 1, 2, 4 and 8 nodes, 25 trials on each
    python -m benchmarks.scale --nodes 8 --trials 125       # a thousand

The nodes are Ray's own, each with its processes, all on this machine; each runs one trial at a
time. A trial sleeps through its training, for 4.5 s, so what it takes beyond that is bookkeeping:
the driver's, the tracking server's (SQLite) and its own. If nothing gets in the way of anything,
the time that a trial holds its node is the same with however many nodes. It is taken from the end
of each node's first trial to that of the last one: before, the nodes start processes, which here
take processor time from each other. What comes after the last trial is the report, mostly.
Requests are those in the server's log. The driver has a process of its own for Ray Tune, whose
processor time and memory are shown after those of the driver itself.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks.memory import peak_resident
from benchmarks.tracking import measured_apart, requests_in
from benchmarks.trivial import sleeping_spec
from services.settings import Settings


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nodes", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--trials", type=int, default=25, help="on each node")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        nodes, trials, uri, log = arguments.measure
        print(json.dumps(_measure(int(nodes), int(trials), uri, Path(log))))
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "mlflow", "torch"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {packages}\n")
    print(
        "| nodes | trials | seconds | after the last trial | a trial on its node | first = 1 |",
        end="",
    )
    print(" requests a trial | driver + Tune, processor s a trial | driver, Tune, MiB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    first = 0.0
    for nodes in arguments.nodes:
        trials = nodes * arguments.trials
        row = measured_apart("benchmarks.scale", str(nodes), str(trials))
        first = first or row["a_trial"]
        print(
            f"| {nodes} | {trials} | {row['seconds']:.1f} | {row['after']:.1f} "
            f"| {row['a_trial']:.2f} | {row['a_trial'] / first:.2f} "
            f"| {sum(row['requests'].values()) / trials:.1f} "
            f"| {row['processor'] / trials:.3f} + {row['tune_processor'] / trials:.3f} "
            f"| {row['memory']:.0f}, {row['tune_memory']:.0f} |",
            flush=True,
        )
    print(f"\nRequests of the last, {trials} trials, a trial:")
    for kind, count in sorted(row["requests"].items(), key=lambda item: -item[1]):
        print(f"{count / trials:6.2f}  {kind}")


def _measure(nodes: int, trials: int, uri: str, log: Path) -> dict[str, Any]:
    from ray.cluster_utils import Cluster

    from orchestration import run_sweep
    from orchestration.record.client import connect

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=1)
        settings = Settings.from_environment(
            {**os.environ, "MLFLOW_TRACKING_URI": uri, "RAY_ADDRESS": cluster.address}
        )
        spec = sleeping_spec(trials)
        start, used = time.perf_counter(), time.process_time()
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        outcome = run_sweep(spec, settings=settings)
        seconds, processor = time.perf_counter() - start, time.process_time() - used
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        end = time.time()
    finally:
        cluster.shutdown()
    assert outcome.failures == {}
    client = connect(uri)
    experiment = client.get_experiment_by_name(spec.name)
    assert experiment is not None
    runs = client.search_runs(
        [experiment.experiment_id], "params.norm LIKE '%'", max_results=50_000
    )
    ends = sorted(run.info.end_time / 1000 for run in runs)
    assert len(ends) == trials
    return {
        "seconds": seconds,
        "after": end - ends[-1],
        "a_trial": (ends[-1] - ends[nodes - 1]) * nodes / (trials - nodes),
        "requests": requests_in(log),
        "processor": processor,
        "memory": peak_resident() / 2**20,
        "tune_processor": sum(children[:2]) - sum(before[:2]),
        "tune_memory": children.ru_maxrss / 2**10,
    }


if __name__ == "__main__":
    main()
