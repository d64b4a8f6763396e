"""What a person waits for in `snn-sweep run`, in imports of MLflow.

    python -m benchmarks.waiting                # --rounds 5; two idle cores, some ten minutes

Sixteen trials of one epoch on the digits, by the command: eight in an empty home (cold), then four
with the tracking server up (server up), then four some seconds after `snn-sweep up --warm` (kept
warm). Each line that the command prints gets the time at which it comes. The peer, with the server
up, is plain Ray Tune with MLflow's callback, which runs the first eight trials. The unit is the
wall-clock time of ``python -c "import mlflow"``, measured in each round. The figures are medians
over the rounds.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.startup import MAIN, environment_of
from services.settings import Settings
from services.tracking import start_server, stop_server

_SPEC = """\
name: waiting
dataset: digits
epochs: 1
seeds: {seeds}
grid: [{{architecture: ann, norm: [none, batchnorm], width: 8}}]
"""
_PEER = """
import sys
import ray
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback

def train(config):
    from pathlib import Path
    from snn_norm.config import RunConfig
    from snn_norm.data.dataset import load_dataset
    from snn_norm.training.run import TrainingRun
    run_config = RunConfig(**config)
    run = TrainingRun(run_config, load_dataset(run_config.dataset, Path(), run_config.image_size))
    while run.outcome is None:
        tune.report(dict(run.run_epoch().metrics()))

class Lines(tune.Callback):
    def on_trial_start(self, **_):
        print("a trial: started", flush=True)
    def on_trial_result(self, **_):
        print("a trial: epoch 1 of 1", flush=True)

space = dict(architecture="ann", width=8, epochs=1, dataset="digits")
space |= dict(norm=tune.grid_search(["none", "batchnorm"]), seed=tune.grid_search([1, 2, 3, 4]))
ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR", log_to_driver=False)
callbacks = [Lines(), MLflowLoggerCallback(tracking_uri=sys.argv[1], experiment_name="peer")]
config = tune.RunConfig(callbacks=callbacks, verbose=0, storage_path=sys.argv[2])
results = tune.Tuner(train, param_space=space, run_config=config).fit()
print("a trial: completed", flush=True)
print("Test accuracy")
print(results.get_dataframe(), flush=True)
"""
_STEPS = (
    ("the command to its first words", 0.2, 0.2),
    ("the command to the first trial", 4.5, 3.0),
    ("the command to its first epoch", None, None),
    ("the last trial to the table", 0.5, 0.5),
    ("the table to the prompt", 1.2, 1.2),
)
"""What is waited for, and the aims in imports of MLflow: cold, and otherwise."""

_STATES = ("cold", "server up", "kept warm")
_SECONDS_OF_IMPORTS = 10.0
"""How long the workers that are kept warm import torch and MLflow after the command has ended."""


def main() -> None:
    """Measure, and print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = [_round() for _ in range(parser.parse_args().rounds)]
    unit = statistics.median(imported for imported, *_ in rounds)
    print(f"`import mlflow`: {unit:.1f} s\n")
    heads = [f"{state}, s | imports | aim" for state in _STATES]
    print(f"| from … to … | {' | '.join(heads)} | peer, imports |")
    print(f"| --- |{' ---: |' * (3 * len(_STATES) + 1)}")
    for number, (step, cold_aim, aim) in enumerate(_STEPS):
        *ours, peer = (
            statistics.median(waits[number] for waits in runs)
            for runs in list(zip(*rounds, strict=True))[1:]
        )
        row = [step]
        for seconds, limit in zip(ours, (cold_aim, aim, aim), strict=True):
            row += [f"{seconds:.1f}", f"{seconds / unit:.1f}", f"{limit or '–'}"]
        print(f"| {' | '.join(row)} | {peer / unit:.1f} |")


def _round() -> tuple[float, list[float], list[float], list[float], list[float]]:
    """An import of MLflow, and the waits of a sweep in each state and of the peer, in seconds."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, spec = folder / "home", folder / "waiting.yaml"
        command = [sys.executable, "-c", MAIN]

        def run(seeds: int) -> list[float]:
            spec.write_text(_SPEC.format(seeds=list(range(1, seeds + 1))))
            return _waits([*command, "run", str(spec)], home)

        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import mlflow"], check=True)
        imported = time.perf_counter() - begin
        cold = run(4)
        settings = Settings.from_environment({"SNN_SWEEP_HOME": str(home)})
        start_server(settings)
        try:
            server_up = run(6)
            environment = environment_of(home)
            subprocess.run([*command, "up", "--warm"], env=environment, check=True)
            time.sleep(_SECONDS_OF_IMPORTS)
            kept_warm = run(8)
            subprocess.run([*command, "down"], env=environment, check=True)
            uri = start_server(settings)
            peer = _waits([sys.executable, "-c", _PEER, uri, str(folder / "tune")], home)
        finally:
            stop_server(settings)
    return imported, cold, server_up, kept_warm, peer


def _waits(command: list[str], home: Path) -> list[float]:
    """The seconds of each step of ``_STEPS``."""
    begin = time.perf_counter()
    lines = list(_timed_lines(command, home))
    end = time.perf_counter()
    started, epoch, table = (
        next(at for at, line in lines if words in line)
        for words in (": started", ": epoch 1", "Test accuracy")
    )
    last = max(at for at, line in lines if ": completed" in line)
    first = lines[0][0]
    return [first - begin, started - begin, epoch - begin, table - last, end - table]


def _timed_lines(command: list[str], home: Path) -> Iterator[tuple[float, str]]:
    """The lines that a command prints, and when it printed each."""
    process = subprocess.Popen(
        command,
        env=environment_of(home) | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    with process.stdout as output:
        for line in output:
            yield time.perf_counter(), line
    if process.wait():
        raise SystemExit(f"{command[:4]} ended with {process.returncode}")


if __name__ == "__main__":
    main()
