"""The check of the whole record after a sweep, whatever happened to it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from mlflow import MlflowClient

from orchestration import SweepSpec


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
    for run in trials:
        epochs = 0
        for metric in sorted(run.data.metrics):
            history = client.get_metric_history(run.info.run_id, metric)
            steps = Counter(point.step for point in history)
            ledger.repeated += [
                (run.info.run_id, metric, step) for step, n in steps.items() if n > 1
            ]
            if metric not in ("best_test_accuracy", "best_epoch"):
                epochs = max(epochs, *steps)
                absent = set(range(1, epochs + 1)) - set(steps)
                ledger.missing += [(run.info.run_id, metric, step) for step in sorted(absent)]
        if run in finished and run.data.tags["snn_sweep.outcome"] == "completed":
            wanted = int(run.data.params["epochs"])
            ledger.missing += [
                (run.info.run_id, "test_accuracy", step) for step in range(epochs + 1, wanted + 1)
            ]
    return ledger
