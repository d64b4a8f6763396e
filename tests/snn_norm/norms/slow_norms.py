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


class SlowBatchNorm:
    """Batch normalization of (T, N, C, ...), value by value.

    Args:
        over: the steps whose values are normalized together with those of step t: ``all`` steps,
            step t itself (``each``), or those ``up to`` it.
        shared: whether one set of running statistics serves all steps. Over each step, it then
            moves at every step.
    """

    def __init__(self, steps: int, channels: int, eps: float, over: str, shared: bool) -> None:
        self.eps = eps
        self.over = over
        self.shared = shared
        rows = 1 if shared else steps
        self.mean = np.zeros((rows, channels))
        self.var = np.ones((rows, channels))

    def train(self, x: Array, scale: Array, offset: Array, momentum: float = 0.1) -> Array:
        """Take a batch into the statistics; its output. Scale and offset are (T, C)."""
        y = np.empty_like(x)
        for t in range(len(x)):
            steps = {"all": slice(None), "each": slice(t, t + 1), "up to": slice(0, t + 1)}
            for c in range(x.shape[2]):
                values = [float(v) for v in x[steps[self.over], :, c].flatten()]
                m = math.fsum(values) / len(values)
                squares = math.fsum((v - m) ** 2 for v in values)
                deviation = math.sqrt(squares / len(values) + self.eps)
                y[t, :, c] = (x[t, :, c] - m) / deviation * scale[t, c] + offset[t, c]
                if self.over != "all" or t == 0:
                    row = 0 if self.shared else t
                    unbiased = squares / (len(values) - 1)
                    self.mean[row, c] += momentum * (m - self.mean[row, c])
                    self.var[row, c] += momentum * (unbiased - self.var[row, c])
        return y

    def evaluate(self, x: Array, scale: Array, offset: Array) -> Array:
        """The output by the running statistics."""
        y = np.empty_like(x)
        for t, c in np.ndindex(len(x), x.shape[2]):
            row = 0 if self.shared else t
            deviation = math.sqrt(self.var[row, c] + self.eps)
            y[t, :, c] = (x[t, :, c] - self.mean[row, c]) / deviation * scale[t, c] + offset[t, c]
        return y


class SlowOnlineNorm:
    """Online Spiking Renormalization of (T, N, C, ...): by what was known before the sequence."""

    def __init__(self, channels: int, eps: float) -> None:
        self.eps = eps
        self.mean = np.zeros(channels)
        self.var = np.ones(channels)
        self.last: Array | None = None

    def train(
        self, x: Array, weight: Array, bias: Array, momentum: float = 0.1
    ) -> tuple[Array, list[list[Frozen]]]:
        """Its output, and for each step and channel what its gradient holds constant."""
        y = np.empty_like(x)
        for c in range(x.shape[2]):
            if self.last is not None:
                # The variance of all values of all steps is within the steps and between them.
                values = self.last[:, :, c]
                self.mean[c] += momentum * (values.mean() - self.mean[c])
                self.var[c] += momentum * (values.var() - self.var[c])
            sigma = math.sqrt(self.var[c] + self.eps)
            y[:, :, c] = (x[:, :, c] - self.mean[c]) / sigma * weight[c] + bias[c]
        self.last = x.copy()
        frozen = []
        for step in x:
            frozen.append([])
            for c in range(x.shape[2]):
                sigma = math.sqrt(self.var[c] + self.eps)
                r = math.sqrt(step[:, c].var() + self.eps) / sigma
                frozen[-1].append(Frozen(r, (step[:, c].mean() - self.mean[c]) / sigma))
        return y, frozen


def slow_group_norm(x: Array, groups: int, weight: Array, bias: Array, eps: float) -> Array:
    """Group normalization of (N, C, H, W), image by image and group by group."""
    y = np.empty_like(x)
    size = x.shape[1] // groups
    for n, g in np.ndindex(len(x), groups):
        values = x[n, g * size : (g + 1) * size]
        m = values.mean()
        normalized = (values - m) / math.sqrt(((values - m) ** 2).mean() + eps)
        for i in range(size):
            c = g * size + i
            y[n, c] = normalized[i] * weight[c] + bias[c]
    return y


def slow_weight_standardization(weight: Array, gain: Array, eps: float) -> Array:
    """Scaled weight standardization of (O, I, H, W), channel by channel."""
    standardized = np.empty_like(weight)
    for o, kernel in enumerate(weight):
        m = kernel.mean()
        squares = ((kernel - m) ** 2).sum()  # fan-in times variance
        standardized[o] = gain[o] * (kernel - m) / math.sqrt(squares + eps)
    return standardized
