"""Neurons, resets, surrogates and norms on the membrane against lif, in one run.

    python -m benchmarks.neurons --rounds 15

Forward and gradient of one layer under BNTT, (25, 8, 64, 32, 32), on one thread, by turns; medians
of the ratios to lif in the same round. In the reference network that is a seventh of a step.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from tqdm import tqdm

from snn_norm import BatchNormThroughTime2d
from snn_norm.neurons.layers import make_neuron
from snn_norm.neurons.table import SURROGATES
from snn_norm.training.allocator import keep_freed_memory

_T, _N, _C, _SIZE = 25, 8, 64, 32

_NEURONS: dict[str, dict[str, Any]] = {
    "lif": {},
    "lif again": {},
    "if": {"name": "if"},
    "plif": {"name": "plif"},
    "reset to zero": {"reset": "zero"},
    "plif, reset to zero": {"name": "plif", "reset": "zero"},
    **{name: {"surrogate": name} for name in SURROGATES if name != "fast_sigmoid"},
}


def main() -> None:
    """Print a Markdown table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    keep_freed_memory()
    steps = {label: _layer(keys) for label, keys in _NEURONS.items()}
    steps["lif, BNTT on the membrane instead"] = _layer({}, on_membrane=True)
    times: dict[str, list[float]] = {label: [] for label in steps}
    for turn in tqdm(range(arguments.rounds + 1), unit="round", file=sys.stderr):
        for label, step in steps.items():
            start = time.thread_time()
            step()
            if turn:  # the first round is a warm-up
                times[label].append(time.thread_time() - start)
    print(f"lif takes {1000 * statistics.median(times['lif']):.0f} ms of processor time\n")
    print("| neuron | ratio to lif |\n| --- | ---: |")
    for label, values in times.items():
        ratios = [value / base for value, base in zip(values, times["lif"], strict=True)]
        print(f"| {label} | {statistics.median(ratios):.2f} |")


def _layer(keys: dict[str, Any], *, on_membrane: bool = False) -> Callable[[], None]:
    x_TNHWC = torch.randn(_T, _N, _SIZE, _SIZE, _C) * 0.6 + 0.2
    x_TNCHW = x_TNHWC.movedim(-1, 2).requires_grad_()
    norm = BatchNormThroughTime2d(_C, _T)
    keys = {"name": "lif", "on_membrane": norm if on_membrane else None, **keys}
    neuron = make_neuron(**keys)

    def step() -> None:
        rows = None if on_membrane else norm.standardization(x_TNCHW, slice(0, _T))
        spikes_TNCHW = neuron(x_TNCHW, rows)
        spikes_TNCHW.backward(x_TNCHW.detach())
        x_TNCHW.grad = None

    return step


if __name__ == "__main__":
    main()
