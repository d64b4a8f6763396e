"""The homeostatic layers against batch normalization at 1, 2 and 4 images a batch, on digits.

    python -m benchmarks.small_batches --results small.jsonl

About 10 minutes on one thread. The learning rate is 0.001·√(batch/64).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from torch import nn

from benchmarks.accuracy import SEEDS, Row, main
from snn_norm.norms import BatchNormThroughTime2d, HomeostaticNorm, TemporalHomeostaticNorm2d


def _with_momentum(
    static: type[nn.Module], temporal: type[nn.Module], momentum: float
) -> Callable[..., nn.Module]:
    def make(num_features: int, num_steps: int | None = None) -> nn.Module:
        if num_steps is None:
            return static(num_features, momentum=momentum)
        return temporal(num_features, num_steps, momentum=momentum)

    return make


homeostatic_3 = _with_momentum(HomeostaticNorm, TemporalHomeostaticNorm2d, 0.03)
homeostatic_1 = _with_momentum(HomeostaticNorm, TemporalHomeostaticNorm2d, 0.01)
standard_1 = _with_momentum(nn.BatchNorm2d, BatchNormThroughTime2d, 0.01)


def _rows(run: dict[str, object], batch_size: int, seeds: tuple[int, ...]) -> list[Row]:
    standard = {"ann": ("BatchNorm", "batchnorm"), "snn": ("BNTT", "bntt")}
    name, norm = standard[str(run["architecture"])]
    norms = {
        f"{name}, momentum 0.1": norm,
        f"{name}, momentum 0.01": "benchmarks.small_batches:standard_1",
        "homeostatic, momentum 0.1": "homeostatic",
        "homeostatic, momentum 0.03": "benchmarks.small_batches:homeostatic_3",
        "homeostatic, momentum 0.01": "benchmarks.small_batches:homeostatic_1",
    }
    rate = 1e-3 * math.sqrt(batch_size / 64)
    keys = {**run, "dataset": "digits", "width": 16, "batch_size": batch_size}
    return [
        Row(label, {**keys, "norm": norm, "learning_rate": rate}, seeds)
        for label, norm in norms.items()
    ]


_ANN: dict[str, object] = {"architecture": "ann", "epochs": 2}
_SNN: dict[str, object] = {"architecture": "snn", "epochs": 1, "num_steps": 4}

TABLES = {
    f"{title}, batch size {size}": _rows(run, size, seeds)
    for title, run, seeds in (
        ("ANN, 2 epochs", _ANN, SEEDS),
        ("SNN, T = 4, 1 epoch", _SNN, SEEDS[:1]),
    )
    for size in (1, 2, 4)
}

if __name__ == "__main__":
    main(__doc__ or "", TABLES)
