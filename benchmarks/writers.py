"""Many trials that log at once, against a tracking server that runs: rate, latency, errors.

    export MLFLOW_TRACKING_URI=http://127.0.0.1:5000
    python -m benchmarks.writers      # --writers --seconds

Each writer is a thread with a run of its own, which sends what a spiking trial sends after an
epoch (13 metrics in one ``log_batch``), again and again without a pause, by the client that trials
use: it makes each request once, so an error is an error. Then what is on record is counted.
"""

from __future__ import annotations

import argparse
import os
import statistics
import threading
import time

from mlflow.entities import Metric

from orchestration.record.client import connect

_NAMES = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "images_per_second")
_METRICS = (*_NAMES, "epoch_seconds", *(f"spike_rate.layer{layer}" for layer in range(7)))


def main() -> None:
    """Write for a while, then count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writers", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    options = parser.parse_args()
    client = connect(os.environ["MLFLOW_TRACKING_URI"])
    experiment = client.create_experiment(f"benchmark of writers {time.time():.0f}")
    runs = [client.create_run(experiment).info.run_id for _ in range(options.writers)]
    seconds: list[float] = []
    errors: list[str] = []
    written = dict.fromkeys(runs, 0)
    start = threading.Barrier(options.writers)

    def write(run_id: str) -> None:
        start.wait()
        end = time.monotonic() + options.seconds
        while time.monotonic() < end:
            step = written[run_id] + 1
            now = time.time_ns() // 1_000_000
            began = time.monotonic()
            try:
                client.log_batch(run_id, [Metric(name, step, now, step) for name in _METRICS])
            except Exception as error:  # noqa: BLE001 - whatever it is, it counts
                after = options.seconds - (end - time.monotonic())
                errors.append(f"after {after:.0f} s {type(error).__name__}: {error}")
            else:
                seconds.append(time.monotonic() - began)
                written[run_id] = step

    threads = [threading.Thread(target=write, args=(run_id,)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(f"{options.writers} writers, {options.seconds:.0f} s, {len(_METRICS)} metrics a request")
    print(f"requests: {len(seconds)}, {len(seconds) / options.seconds:.0f} a second")
    print(f"errors: {len(errors)}")
    for error in sorted(set(errors))[:5]:
        print(f"  {errors.count(error)} times …{error[-160:]}")
    ordered = sorted(seconds)
    p95, p99 = (ordered[int(len(ordered) * part)] for part in (0.95, 0.99))
    median = statistics.median(ordered)
    print(f"latency, seconds: median {median:.2f}, 95 % {p95:.2f}, 99 % {p99:.2f}")
    print(f"the longest: {ordered[-1]:.2f}")
    found = sum(len(client.get_metric_history(run_id, _METRICS[-1])) for run_id in runs)
    print(f"on record: {found} of {sum(written.values())} steps")
    client.delete_experiment(experiment)


if __name__ == "__main__":
    main()
