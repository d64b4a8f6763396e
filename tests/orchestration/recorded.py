"""Writes finished sweeps into MLflow as the contract has them, without training anything."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from orchestration.model.trial import trial_key
from snn_norm.config import RunConfig

START_MS = 1_700_000_000_000

_clock = itertools.count()


@dataclass
class RecordedTrial:
    """One trial as it is to be written.

    Args:
        config: its parameters.
        accuracies: test accuracy by epoch; the best of those that are numbers is its result, or
            that of the best epoch by the metric validation_accuracy.
        outcome: the tag of that name; None writes none.
        key: its trial key; None writes none.
        status: MLflow's.
        metrics: further metrics by epoch.
        tags: written last, over the others.
        finished: milliseconds after START_MS; each trial a second later than the last if None.
    """

    config: Mapping[str, Any]
    accuracies: Sequence[float] = ()
    outcome: str | None = "completed"
    key: str | None = "by configuration"
    status: str | None = "FINISHED"
    metrics: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    finished: int | None = None


def text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


class Recorder:
    """Writes into the store of one tracking URI."""

    def __init__(self, tracking_uri: str) -> None:
        self.uri = tracking_uri
        self.client = MlflowClient(tracking_uri)

    def sweep(self, name: str, spec: str | None = None, parts: int = 1) -> tuple[str, str | None]:
        """Make the experiment and, if a spec is given, its parent run; give both ids."""
        experiment = self.client.create_experiment(name)
        return experiment, None if spec is None else self.parent(experiment, name, spec, parts)

    def parent(self, experiment: str, name: str, spec: str, parts: int = 1) -> str:
        size = math.ceil(len(spec) / parts)
        tags = {"snn_sweep.role": "sweep", "snn_sweep.name": name, "snn_sweep.status": "completed"}
        for number in range(parts):
            suffix = f".{number}" if number else ""
            tags[f"snn_sweep.spec{suffix}"] = spec[number * size : (number + 1) * size]
        run = self.client.create_run(experiment, START_MS + next(_clock), tags, run_name=name)
        return run.info.run_id

    def trial(self, experiment: str, parent: str | None, trial: RecordedTrial) -> str:
        """Write one trial; give its run id."""
        number = next(_clock)
        tags = {"snn_sweep.role": "trial"}
        if parent is not None:
            tags["mlflow.parentRunId"] = parent
        if trial.key == "by configuration":
            tags["snn_sweep.trial_key"] = trial_key(RunConfig(**trial.config))
        elif trial.key is not None:
            tags["snn_sweep.trial_key"] = trial.key
        if trial.outcome is not None:
            tags["snn_sweep.outcome"] = trial.outcome
        tags |= trial.tags
        run = self.client.create_run(experiment, START_MS + 1000 * number).info.run_id
        by_epoch = {"test_accuracy": trial.accuracies, **trial.metrics}
        points = [
            Metric(name, value, START_MS + 1000 * number + epoch, epoch)
            for name, values in by_epoch.items()
            for epoch, value in enumerate(values, 1)
        ]
        last = len(trial.accuracies)
        by = trial.metrics.get("validation_accuracy", trial.accuracies)
        epochs = [epoch for epoch in range(last) if not math.isnan(trial.accuracies[epoch])]
        if epochs:
            best = max(epochs, key=lambda epoch: by[epoch])
            at = START_MS + 1000 * number + last
            points.append(Metric("best_test_accuracy", trial.accuracies[best], at, last))
            points.append(Metric("best_epoch", best + 1, at, last))
        self.client.log_batch(
            run,
            metrics=points,
            params=[Param(name, text(value)) for name, value in trial.config.items()],
            tags=[RunTag(name, value) for name, value in tags.items()],
        )
        if trial.status is not None:
            finished = 1000 * number + 500 if trial.finished is None else trial.finished
            self.client.set_terminated(run, trial.status, START_MS + finished)
        return run
