"""The homeostatic norm value by value, in double precision: what the fast one must agree with."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


class Frozen(NamedTuple):
    """What one channel's gradient holds constant: x̂·r + d."""

    r: float
    d: float


class SlowHomeostaticNorm:
    """Training of a HomeostaticNorm on (N, C, ...), with weight and bias of 1 and 0 by default."""

    def __init__(self, channels: int, eps: float, momentum: float | None) -> None:
        self.eps = eps
        self.momentum = momentum
        self.batches = 0
        self.mean = [0.0] * channels
        self.var = [1.0] * channels

    def train(self, x: Array, weight: Array, bias: Array) -> tuple[Array, list[Frozen]]:
        """Take a batch into the statistics; its output, and what its gradient holds constant."""
        self.batches += 1
        rate = 1 / self.batches
        if self.momentum is not None:
            rate = max(rate, self.momentum)
        y = np.empty_like(x)
        frozen = []
        for c in range(x.shape[1]):
            values = [float(v) for v in x[:, c].flatten()]
            m = sum(values) / len(values)
            s2 = sum((v - m) ** 2 for v in values) / len(values)
            old_mean, old_var = self.mean[c], self.var[c]
            self.mean[c] = (1 - rate) * old_mean + rate * m
            # The variance of a mixture: the mean of the squares, less the square of the mean.
            squares = (1 - rate) * (old_var + old_mean**2) + rate * (s2 + m**2)
            self.var[c] = squares - self.mean[c] ** 2
            sigma = math.sqrt(self.var[c] + self.eps)
            y[:, c] = (x[:, c] - self.mean[c]) / sigma * weight[c] + bias[c]
            frozen.append(Frozen(math.sqrt(s2 + self.eps) / sigma, (m - self.mean[c]) / sigma))
        return y, frozen


def renormalized(x: Array, weight: Array, bias: Array, frozen: list[Frozen], eps: float) -> Array:
    """x̂·r + d with r and d constant, the function whose gradient the layer must have."""
    y = np.empty_like(x)
    for c, (r, d) in enumerate(frozen):
        values = x[:, c]
        normalized = (values - values.mean()) / math.sqrt(values.var() + eps)
        y[:, c] = (normalized * r + d) * weight[c] + bias[c]
    return y
