"""What a sweep's bookkeeping costs, against plain Ray Tune with its MLflow callback.

    python -m benchmarks.orchestration                       # 18 and 200 trials; minutes
    python -m benchmarks.orchestration --trials 18 --only ours

Trials of three epochs that take milliseconds, two at a time, every metric of every epoch in MLflow.
Each contender has a process of its own, and a Ray and a tracking server (SQLite) that are up before
the clock starts. The peer trains the same networks, by the same ``TrainingRun``, in a function that
calls ``tune.report``, logged by ``MLflowLoggerCallback``; it keeps no checkpoints, has no spool and
draws no report. What ours spends on the report at a sweep's end is shown apart. Requests are those
in the access log of the server.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from unittest import mock

from benchmarks.tracking import measured_apart, requests_in
from benchmarks.trivial import trivial_spec
from services.cluster import local_ray
from services.settings import Settings

_SLOTS = 2


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, nargs="+", default=[18, 200])
    parser.add_argument("--only", choices=_CONTENDERS, help="leave the other out")
    parser.add_argument("--measure", nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.measure:
        name, trials, uri, log = arguments.measure
        print(json.dumps(_CONTENDERS[name](int(trials), uri, Path(log))))
        return
    packages = ", ".join(f"{name} {version(name)}" for name in ("ray", "mlflow", "torch"))
    print(f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, {packages}\n")
    print("| trials | | seconds | a trial | ours = 1 | requests a trial | the report |")
    print("| ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for trials in arguments.trials:
        names = [arguments.only] if arguments.only else list(_CONTENDERS)
        measured = {
            name: measured_apart("benchmarks.orchestration", name, str(trials)) for name in names
        }
        for name, row in measured.items():
            ratio = row["seconds"] / measured.get("ours", row)["seconds"]
            report = f"{row['report']:.1f}" if "report" in row else ""
            print(
                f"| {trials} | {name} | {row['seconds']:.1f} | {row['seconds'] / trials:.2f} "
                f"| {ratio:.1f} | {row['requests'] / trials:.1f} | {report} |",
                flush=True,
            )


def _ours(trials: int, uri: str, log: Path) -> dict[str, float]:
    from orchestration import run_sweep
    from orchestration.report import write
    from orchestration.report.write import log_report

    settings = Settings.from_environment({**os.environ, "MLFLOW_TRACKING_URI": uri})
    report_seconds, sent = 0.0, 0

    def timed_report(*arguments: Any) -> None:
        nonlocal report_seconds, sent
        sent = requests_in(log).total()
        start = time.perf_counter()
        log_report(*arguments)
        report_seconds = time.perf_counter() - start

    spec = trivial_spec(trials)
    with (
        local_ray(settings, num_cpus=_SLOTS),
        mock.patch.object(write, "log_report", timed_report),
    ):
        start = time.perf_counter()
        outcome = run_sweep(spec, settings=settings)
        seconds = time.perf_counter() - start
    assert outcome.failures == {}
    return {"seconds": seconds - report_seconds, "report": report_seconds, "requests": sent}


def _plain_tune(trials: int, uri: str, log: Path) -> dict[str, float]:
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback

    settings = Settings.from_environment()
    configs = [trial.config.given() for trial in trivial_spec(trials).trials()]
    callback = MLflowLoggerCallback(tracking_uri=uri, experiment_name="plain")
    with local_ray(settings, num_cpus=_SLOTS):
        tuner = tune.Tuner(
            _train,
            param_space={"given": tune.grid_search(configs)},
            run_config=tune.RunConfig(
                storage_path=str(settings.home / "tune"), callbacks=[callback], verbose=0
            ),
        )
        start = time.perf_counter()
        results = tuner.fit()
        seconds = time.perf_counter() - start
    assert results.num_errors == 0
    return {"seconds": seconds, "requests": requests_in(log).total()}


def _train(config: Mapping[str, Any]) -> None:
    from ray import tune

    from snn_norm.config import RunConfig
    from snn_norm.data.dataset import load_dataset
    from snn_norm.training.run import TrainingRun

    run_config = RunConfig(**config["given"])
    dataset = load_dataset(run_config.dataset, Path(), run_config.image_size)
    run = TrainingRun(run_config, dataset)
    while run.outcome is None:
        tune.report(dict(run.run_epoch().metrics()))


_CONTENDERS = {"ours": _ours, "plain Tune": _plain_tune}

if __name__ == "__main__":
    main()
