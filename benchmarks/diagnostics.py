"""What the diagnostics of a trial cost: an epoch with them against the same epoch without.

    python -m benchmarks.diagnostics

On digits, the smallest data set, where they cost most: it is one batch an epoch, whatever the
number of training images. Epochs with and without take turns in one process; of each, the fastest.
Processor time on one thread, which a busy machine disturbs least.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from snn_norm.config import RunConfig
from snn_norm.data.dataset import Dataset, load_dataset
from snn_norm.training.run import TrainingRun

_NETWORKS = {
    "ANN, none": {"architecture": "ann", "norm": "none"},
    "ANN, BatchNorm": {"architecture": "ann", "norm": "batchnorm"},
    "SNN, none": {"architecture": "snn", "norm": "none"},
    "SNN, BNTT": {"architecture": "snn", "norm": "bntt"},
    "SNN, homeostatic": {"architecture": "snn", "norm": "homeostatic"},
    "SNN, MPBN": {"architecture": "snn", "norm": "mpbn"},
}


def _seconds(call: Callable[[], object]) -> float:
    began = time.process_time()
    call()
    return time.process_time() - began


def _measured(keys: dict[str, Any], data: Dataset, rounds: int) -> tuple[float, float]:
    """Seconds of an epoch without diagnostics, and of the same with them."""
    config = RunConfig(dataset="digits", epochs=10_000, seed=42, **keys)
    run = TrainingRun(config, data)
    run.diagnostics()
    epochs, diagnostics = [], []
    for _ in range(rounds):
        epochs.append(_seconds(run.run_epoch))
        diagnostics.append(_seconds(run.diagnostics))
    return min(epochs), min(epochs) + min(diagnostics)


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.diagnostics", description=__doc__, allow_abbrev=False
    )
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--num-steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(1)
    data = load_dataset("digits", Path())
    print("| | epoch without, s | with, s | ratio |\n| --- | ---: | ---: | ---: |", flush=True)
    for label, keys in _NETWORKS.items():
        steps = {"num_steps": options.num_steps} if keys["architecture"] == "snn" else {}
        network = {**keys, **steps, "width": options.width}
        without, having = _measured(network, data, options.rounds)
        print(f"| {label} | {without:.3f} | {having:.3f} | {having / without:.3f} |", flush=True)


if __name__ == "__main__":
    main()
