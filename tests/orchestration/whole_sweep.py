"""A sweep like the packaged digits, recorded without training anything."""

from __future__ import annotations

import json
import math
import random
from pathlib import Path

from recorded import RecordedTrial, Recorder

from orchestration.sweep.spec import SweepSpec

GOALS = {
    ("ann", "none"): 0.955,
    ("ann", "batchnorm"): 0.992,
    ("ann", "homeostatic"): 0.991,
    ("snn", "none"): 0.1,
    ("snn", "bntt"): 0.985,
    ("snn", "homeostatic"): 0.98,
}
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "conv6", "hidden")


def record_digits(
    tracking_uri: str, name: str = "digits", trials: int = 18, *, control: bool = False
) -> tuple[str, str]:
    """Record the first of its trials; give the ids of its experiment and its own run.

    Args:
        control: with the cell that is the packaged sweep's control; it then has 21 trials.
    """
    given = json.loads(SweepSpec.load("digits").to_json())
    grid = given["grid"] if control else given["grid"][:2]
    spec = SweepSpec.from_dict({**given, "name": name, "grid": grid})
    recorder = Recorder(tracking_uri)
    experiment, parent = recorder.sweep(name, spec.to_json())
    assert parent is not None
    for trial in spec.trials()[:trials]:
        config = trial.config.given()
        goal = GOALS[config["architecture"], config["norm"]]
        recorder.trial(experiment, parent, _trial(config, trial.key, goal))
    recorder.client.set_terminated(parent)
    return experiment, parent


def _trial(config: dict[str, object], key: str, goal: float) -> RecordedTrial:
    chance = random.Random(key)
    collapses = goal < 0.2
    epochs = range(1, 4 if collapses else 9)
    rise = [1.0 if collapses else 1 - math.exp(-0.6 * epoch) for epoch in epochs]
    accuracies = [round(min(0.999, goal * part + chance.uniform(0, 0.01)), 4) for part in rise]
    losses = [2.3 * (1 - accuracy) for accuracy in accuracies]
    metrics = {
        "train_loss": losses,
        "train_accuracy": accuracies,
        "test_loss": losses,
        "images_per_second": [1400.0 for _ in epochs],
        "epoch_seconds": [1.0 for _ in epochs],
    }
    tags = {"snn_sweep.version": "0.1.0", "snn_sweep.machine": "2 × a <fast> & good processor"}
    if config["architecture"] == "snn":
        tags["snn_sweep.engine"] = "eager"
        for depth, layer in enumerate(LAYERS):
            rate = 0.0 if collapses and depth > 1 else 0.12 / (1 + depth)
            metrics[f"spike_rate.{layer}"] = [rate for _ in epochs]
    return RecordedTrial(
        config,
        accuracies,
        "collapsed" if collapses else "completed",
        key=key,
        metrics=metrics,
        tags=tags,
    )


def digests(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with what is in it."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
