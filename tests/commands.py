"""``snn-sweep`` as users run it, in the folder of the user's code, and what its sweeps did."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml
from mlflow import MlflowClient

from orchestration import SweepSpec
from orchestration.execution.worker.own_training import OwnTraining
from orchestration.model.config import OwnConfig
from orchestration.model.trial import Trial
from orchestration.record.model_artifact import fetch_model
from snn_norm.data.dataset import load_dataset
from snn_norm.training.models.model_file import WEIGHTS_FILE
from snn_norm.training.run import TrainingRun

USERS_FOLDER = Path(__file__).parent / "users"
"""Holds ``own_code``."""

SLOW = "own_code:SlowNorm"

_MAIN = "from orchestration import main; main()"


class Commands:
    """Starts commands with a home of their own on a tracking server; ``folder`` holds the specs."""

    def __init__(self, folder: Path, tracking_uri: str, environment: Mapping[str, str]) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "SNN_SWEEP_HOME": str(folder / "home"),
            "MLFLOW_TRACKING_URI": tracking_uri,
            "PYTHONWARNINGS": "default",
            **environment,
        }
        self.started: list[subprocess.Popen[str]] = []

    def spec(self, name: str, content: Mapping[str, Any]) -> tuple[SweepSpec, str]:
        """Write a spec; give it and its path."""
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"name": name, **content}))
        return SweepSpec.load(path), str(path)

    def start(self, *arguments: str, program: str = _MAIN) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program, *arguments],
            cwd=USERS_FOLDER,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.started.append(process)
        return process

    def run(self, *arguments: str, code: int = 0) -> str:
        return finish(self.start(*arguments), code)


@contextmanager
def commands_in(
    folder: Path, tracking_uri: str, environment: Mapping[str, str] | None = None
) -> Iterator[Commands]:
    """Commands, of which none outlives the block."""
    commands = Commands(folder, tracking_uri, environment or {})
    try:
        yield commands
    finally:
        for process in commands.started:
            if process.poll() is None:
                process.kill()
                process.communicate()


def finish(process: subprocess.Popen[str], code: int) -> str:
    """What it wrote to standard error, once it has ended with this exit code."""
    out, err = process.communicate(timeout=500)
    assert process.returncode == code, f"{out}\n{err}"
    return err


def wait_until(condition: Callable[[], bool], timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.1)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def workers_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """The processes that train for a driver, as Ray titles them."""
    children = psutil.Process(process.pid).children(recursive=True)
    with contextlib.suppress(psutil.NoSuchProcess):  # one has ended since: look again
        return [child for child in children if "Trainable" in " ".join(child.cmdline())]
    return []


def processes_in(commands: Commands) -> list[psutil.Process]:
    """Whatever runs in the home of these commands: themselves and what they have started."""
    processes = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            home = process.environ().get("SNN_SWEEP_HOME")
            if home == commands.environment["SNN_SWEEP_HOME"]:
                processes.append(process)
    return processes


def trials_of(client: MlflowClient, name: str, value: str, key: str = "norm") -> list[str]:
    """The runs of a sweep's trials with this norm, or this value of another key."""
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return []
    runs = client.search_runs([experiment.experiment_id], f"params.{key} = '{value}'")
    return [run.info.run_id for run in runs]


def epochs_of(client: MlflowClient, name: str, value: str = SLOW, key: str = "norm") -> int:
    """How many epochs some trials of a sweep, the slow ones, have on record, all together."""
    runs = trials_of(client, name, value, key)
    return sum(len(client.get_metric_history(run_id, "train_loss")) for run_id in runs)


Numbers = dict[tuple[str, str, str], list[float]]
"""Curves by norm, or by training code of a user's own, seed and metric."""

_MEASURED = ("train_", "validation_", "test_", "val_")
"""How the metrics begin that are no times, and do not follow from others."""


def undisturbed_numbers(spec: SweepSpec) -> Numbers:
    """What :func:`numbers` must be: each trial's curves as it is trained here, alone."""
    curves: Numbers = {}
    for trial in spec.trials():
        config, run = trial.config, _run_of(trial)
        what = config.train if isinstance(config, OwnConfig) else config.norm
        while run.outcome is None:
            result = run.run_epoch()
            for metric, value in result.metrics().items() if result else ():
                if metric.startswith(_MEASURED):
                    curves.setdefault((what, str(config.seed), metric), []).append(value)
    return curves


def _run_of(trial: Trial) -> TrainingRun | OwnTraining:
    config = trial.config
    if isinstance(config, OwnConfig):
        return OwnTraining(config, trial.metric, "cpu")
    return TrainingRun(config, load_dataset(config.dataset, Path(), config.image_size))


def undisturbed_models(spec: SweepSpec) -> dict[str, bytes]:
    """What :func:`models_of` must be: the models of trials that are trained here, alone.

    Of training code of a user's own; that which gives no state leaves none.
    """
    models: dict[str, bytes] = {}
    for trial in spec.trials():
        run, of_epochs = _run_of(trial), {}
        while run.outcome is None:
            if run.run_epoch() is not None and run.state_dict() is not None:
                of_epochs[len(run.history)] = run.saved()
        assert run.best is not None
        epoch = run.best.epoch if spec.keep == "best" else len(run.history)
        if epoch in of_epochs:
            models[str(trial.config.seed)] = of_epochs[epoch]
    return models


def models_of(client: MlflowClient, name: str) -> dict[str, bytes]:
    """The model's file of each finished trial that has one, by seed."""
    found = {}
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    for run in client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'"):
        if client.list_artifacts(run.info.run_id, "model"):
            with tempfile.TemporaryDirectory() as folder:
                fetch_model(client, run.info.run_id, Path(folder))
                found[run.data.params["seed"]] = (Path(folder) / WEIGHTS_FILE).read_bytes()
    return found


def numbers(client: MlflowClient, name: str) -> Numbers:
    """The curves that must not depend on what happened to a sweep."""
    experiment = client.get_experiment_by_name(name)
    assert experiment is not None
    curves = {}
    for run in client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'"):
        if run.data.tags["snn_sweep.role"] == "trial":
            for metric in run.data.metrics:
                if not metric.startswith(_MEASURED):
                    continue
                history = client.get_metric_history(run.info.run_id, metric)
                points = sorted((point.step, point.value) for point in history)
                what = run.data.params.get("norm") or run.data.params["train"]
                key = (what, run.data.params["seed"], metric)
                curves[key] = [value for _, value in points]
    return curves
