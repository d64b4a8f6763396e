"""How much of a gradient each layer passes on before the first step: norm, path, slope and depth.

Nothing is trained: each network is built, and its diagnostics of one batch are taken, as a sweep
takes them before its first step. Residual networks at width 8, T = 4, on digits at 8 × 8.

    python -m benchmarks.evidence.starts     # writes starts-digits.csv beside this file
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

RECORDED = Path(__file__).parent / "starts-digits.csv"

AXES = {
    "norm": ("none", "bntt"),
    "shortcut": ("none", "membrane"),
    "depth": (8, 20, 32),
    "slope": (1.0, 2.0, 5.0, 25.0),
    "seed": (1, 2, 3, 4, 5),
}


def passed(gradients: pd.Series[float]) -> tuple[float, float]:
    """What is left of a gradient, and how much of it each layer passes on.

    Args:
        gradients: of each layer, from the first to the last; a projection has none.

    Returns:
        The first layer's over the last one's, and the geometric mean of the layers' gains.
    """
    known = gradients.dropna()
    left = float(known.iloc[0] / known.iloc[-1])
    return left, left ** (1 / (len(known) - 1))


def start(keys: dict[str, Any]) -> dict[str, Any]:
    """The keys of a network, and what is left of its gradient before the first step."""
    config = RunConfig(
        architecture="snn", dataset="digits", epochs=1, batch_size=64, trunk="resnet", width=8,
        image_size=8, num_steps=4, **keys,
    )  # fmt: skip
    run = TrainingRun(config, load_dataset("digits", Path(), image_size=8))
    found = run.diagnostics()
    of_layers = pd.Series({layer: found.get(f"gradient.{layer}") for layer in run.layers})
    left, gain = passed(of_layers.astype(float))
    return {**keys, "passed": f"{left:.3g}", "gain": f"{gain:.4f}"}


def main() -> None:
    """The command."""
    torch.set_num_threads(1)
    grid = (dict(zip(AXES, values, strict=True)) for values in itertools.product(*AXES.values()))
    pd.DataFrame(map(start, grid)).to_csv(RECORDED, index=False, lineterminator="\n")


if __name__ == "__main__":
    main()
