"""The check of the whole record after a sweep, whatever happened to it."""

from __future__ import annotations

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from orchestration import SweepSpec
from orchestration.record.kept_model import KeptModel
from orchestration.record.model_artifact import fetch_model
from snn_norm.training.models.model_file import check_whole, header_of


@dataclass
class Ledger:
    """What is wrong in the record of a sweep; empty where nothing is."""

    lost: list[str] = field(default_factory=list)
    """Wanted trials without a finished run, by label."""
    double: list[str] = field(default_factory=list)
    """Trials with more than one finished run, by key."""
    running: list[str] = field(default_factory=list)
    """Runs that say RUNNING."""
    missing: list[tuple[str, str, int]] = field(default_factory=list)
    """(run, metric, step) that a finished run lacks."""
    repeated: list[tuple[str, str, int]] = field(default_factory=list)
    """(run, metric, step) that are there more than once."""
    without_model: list[str] = field(default_factory=list)
    """Finished runs that lack the one whole model that they should have."""
    parents: int = 1


def audit(client: MlflowClient, spec: SweepSpec) -> Ledger:
    """Look at every run and every metric of a sweep."""
    experiment = client.get_experiment_by_name(spec.name)
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id], max_results=50_000)
    ledger = Ledger(parents=sum(r.data.tags["snn_sweep.role"] == "sweep" for r in runs))
    ledger.running = [run.info.run_id for run in runs if run.info.status == "RUNNING"]
    trials = [run for run in runs if run.data.tags["snn_sweep.role"] == "trial"]
    finished = [run for run in trials if run.info.status == "FINISHED"]
    counts = Counter(run.data.tags["snn_sweep.trial_key"] for run in finished)
    ledger.lost = [trial.label for trial in spec.trials() if counts[trial.key] == 0]
    ledger.double = [key for key, count in counts.items() if count > 1]
    if spec.keep != "none":
        ledger.without_model = [
            run.info.run_id for run in finished if not _has_model(client, run, spec)
        ]
    for run in trials:
        epochs = 0
        for metric in sorted(run.data.metrics):
            history = client.get_metric_history(run.info.run_id, metric)
            steps = Counter(point.step for point in history)
            ledger.repeated += [
                (run.info.run_id, metric, step) for step, n in steps.items() if n > 1
            ]
            if not metric.startswith("best_"):
                epochs = max(epochs, *steps)
                absent = set(range(1, epochs + 1)) - set(steps)
                ledger.missing += [(run.info.run_id, metric, step) for step in sorted(absent)]
        if run in finished and run.data.tags["snn_sweep.outcome"] == "completed":
            wanted = int(run.data.params["epochs"])
            ledger.missing += [
                (run.info.run_id, spec.judged_by().name, step)
                for step in range(epochs + 1, wanted + 1)
            ]
    return ledger


def _has_model(client: MlflowClient, run: Run, spec: SweepSpec) -> bool:
    """Whether the model of the epoch that is kept is among the artifacts of a run, once.

    One without a best epoch has none, nor has the user's own code whose state is none or no plain
    one.
    """
    told = KeptModel.from_tag(run.data.tags.get("snn_sweep.model", "{}"))
    folders = [one.path for one in client.list_artifacts(run.info.run_id)]
    reasons = ("gives no state", "a model is made of")
    unsavable = any(reason in (told.missing or "") for reason in reasons)
    if "best_epoch" not in run.data.metrics or unsavable:
        return told.missing is not None and folders == []
    epoch = run.data.metrics["best_epoch"]
    if spec.keep == "last":
        history = client.get_metric_history(run.info.run_id, spec.judged_by().name)
        epoch = max(point.step for point in history)
    with tempfile.TemporaryDirectory() as folder:
        fetch_model(client, run.info.run_id, Path(folder))
        files = {path.name: path.read_bytes() for path in Path(folder).iterdir()}
    data = files["model.safetensors"]
    check_whole(data)
    names = {"config.json", "model.safetensors"}
    if "train" not in run.data.params:
        names.add("MLmodel")
    return (
        files.keys() == names
        and folders == ["model"]
        and (told.epoch, told.bytes) == (epoch, len(data))
        and header_of(data)["epoch"] == told.epoch
    )
