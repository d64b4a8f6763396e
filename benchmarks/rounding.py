"""How far training carries a difference of rounding, which `snn-sweep reproduce` tolerates.

    python -m benchmarks.rounding

Trains small networks on the digits twice, the second time from weights of which each is disturbed
by about 1e-7 of itself, as much as float32 rounds, and prints the largest differences by epoch: of
accuracies and spike rates, and of losses as a share of themselves where they are above 1.
"""

from __future__ import annotations

import torch

from services.settings import Settings
from snn_norm.config import RunConfig
from snn_norm.data.dataset import load_dataset
from snn_norm.training.run import TrainingRun

NETWORKS = (
    {"architecture": "ann", "norm": "none"},
    {"architecture": "ann", "norm": "batchnorm"},
    {"architecture": "snn", "norm": "bntt", "num_steps": 5},
    {"architecture": "snn", "norm": "homeostatic", "num_steps": 5},
)
ROUNDING = 1e-7


def main() -> None:
    """The command."""
    torch.set_num_threads(1)
    dataset = load_dataset("digits", Settings.from_environment().data)
    print(
        "| architecture | norm | epoch | accuracies, rates | losses |\n| --- | --- "
        + "| ---: " * 3
        + "|"
    )
    for network in NETWORKS:
        config = RunConfig(**network, dataset="digits", seed=42, epochs=8, batch_size=64, width=8)
        first, second = TrainingRun(config, dataset), TrainingRun(config, dataset)
        random = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for weight in second.model.parameters():
                weight.mul_(1 + ROUNDING * torch.randn(weight.shape, generator=random))
        for a, b in zip(first.epochs(), second.epochs(), strict=False):
            one, other = a.metrics(), b.metrics()
            apart = {
                name: abs(value - other[name]) / max(1.0, abs(value))
                for name, value in one.items()
                if name not in ("epoch_seconds", "images_per_second")
            }
            losses = max(value for name, value in apart.items() if name.endswith("_loss"))
            others = max(value for name, value in apart.items() if not name.endswith("_loss"))
            named = f"{network['architecture']} | {network['norm']}"
            print(f"| {named} | {a.epoch} | {others:.4f} | {losses:.4f} |", flush=True)


if __name__ == "__main__":
    main()
