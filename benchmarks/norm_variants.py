"""The homeostatic layer against BatchNorm and against itself with one thing changed, on digits.

    python -m benchmarks.norm_variants --results variants.jsonl

About 25 minutes on one thread. ``docs/theory.md`` explains each variant.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.accuracy import Row, main
from snn_norm.norms import HomeostaticNorm, TemporalHomeostaticNorm2d


class _Variant(nn.Module):
    """The homeostatic layer in pieces that subclasses replace.

    Input (N, C, H, W), or (T, N, C, H, W) if num_steps is given.
    """

    mean: Tensor
    var: Tensor
    momentum = 0.1

    def __init__(self, num_features: int, num_steps: int | None = None) -> None:
        super().__init__()
        channels = num_features * (num_steps or 1)
        self.eps = 1e-5 if num_steps is None else 1e-4
        self.batches_seen = 0
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("var", torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        normalize = self._train_step if self.training else self._evaluate
        if x.dim() == 4:
            return normalize(x)
        steps, images, channels, height, width = x.shape
        flat = x.transpose(0, 1).reshape(images, steps * channels, height, width)
        return normalize(flat).view(images, steps, channels, height, width).transpose(0, 1)

    def _evaluate(self, x: Tensor) -> Tensor:
        gain = self.weight * self._gain()
        return x * gain[:, None, None] + (self.bias - self.mean * gain)[:, None, None]

    def _train_step(self, x: Tensor) -> Tensor:
        """Batch Renormalization's forward and gradient: x̂·r + d with r and d held constant."""
        with torch.no_grad():
            batch_var, batch_mean = torch.var_mean(x, (0, 2, 3), correction=0)
            self.batches_seen += 1
            self._update(batch_mean, batch_var)
            r = (batch_var + self.eps).sqrt() * self._gain()
            d = (batch_mean - self.mean) * self._gain()
            r, d = self._limit(r, d)
        return F.batch_norm(
            x, None, None, r * self.weight, d * self.weight + self.bias, True, eps=self.eps
        )

    def _rate(self) -> float:
        return max(self.momentum, 1 / self.batches_seen)

    def _update(self, batch_mean: Tensor, batch_var: Tensor) -> None:
        rate, shift = self._rate(), batch_mean - self.mean
        self.mean += rate * shift
        self.var += rate * (batch_var - self.var) + rate * (1 - rate) * shift.square()

    def _gain(self) -> Tensor:
        return (self.var + self.eps).rsqrt()

    def _limit(self, r: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        return r, d


class IgnoringStatistics(_Variant):
    """Gradients of the plain affine map: the statistics count as constants."""

    def _train_step(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            batch_var, batch_mean = torch.var_mean(x, (0, 2, 3), correction=0)
            self.batches_seen += 1
            self._update(batch_mean, batch_var)
            mean, var = self.mean.clone(), self.var.clone()
        return F.batch_norm(x, mean, var, self.weight, self.bias, False, eps=self.eps)


class WithoutMixture(_Variant):
    """The moving variance is the moving average of the batches' variances, as BatchNorm's is."""

    def _update(self, batch_mean: Tensor, batch_var: Tensor) -> None:
        self.mean.lerp_(batch_mean, self._rate())
        self.var.lerp_(batch_var, self._rate())


class RidgeGain(_Variant):
    """σ/(σ² + ε) in place of 1/√(σ² + ε): a silent channel stays silent."""

    def _gain(self) -> Tensor:
        return self.var.sqrt() / (self.var + self.eps)


class RidgeGainLargeEps(RidgeGain):
    """The ridge gain with an ε that reaches more channels."""

    def __init__(self, num_features: int, num_steps: int | None = None) -> None:
        super().__init__(num_features, num_steps)
        self.eps = 1e-3


class RampedClipping(_Variant):
    """Batch Renormalization as published: r and d limited, first to BatchNorm.

    The paper's schedule (r = 1 and d = 0 for 5,000 steps, limits of 3 by 40,000 and 5 by 25,000,
    out of 130,000) on the 184 steps of these runs.
    """

    def _limit(self, r: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        r_max = 1 + 2 * self._progress(7, 57)
        d_max = 5 * self._progress(7, 35)
        return r.clamp(1 / r_max, r_max), d.clamp(-d_max, d_max)

    def _progress(self, first: int, last: int) -> float:
        return min(max((self.batches_seen - first) / (last - first), 0), 1)


class GuessedStart(_Variant):
    """Moving statistics that start from mean 0 and variance 1, as BatchNorm's do."""

    def _rate(self) -> float:
        return self.momentum


def _with_eps(eps: float) -> Callable[..., nn.Module]:
    def make(num_features: int, num_steps: int | None = None) -> nn.Module:
        if num_steps is None:
            return HomeostaticNorm(num_features, eps)
        return TemporalHomeostaticNorm2d(num_features, num_steps, eps)

    return make


eps_1e5, eps_1e4, eps_1e3 = _with_eps(1e-5), _with_eps(1e-4), _with_eps(1e-3)

_RUN = {"dataset": "digits", "width": 16, "epochs": 8, "batch_size": 64}


def _rows(architecture: str, standard: tuple[str, str], eps: dict[str, str]) -> list[Row]:
    own = {
        "gradient ignores the statistics": "IgnoringStatistics",
        "variance without the mixture term": "WithoutMixture",
        **eps,
        "r and d clipped, ramped": "RampedClipping",
        "ridge gain": "RidgeGain",
        "ridge gain, eps 1e-3": "RidgeGainLargeEps",
        "start from (0, 1), uncorrected": "GuessedStart",
    }
    norms = {
        "as built": "homeostatic",
        standard[0]: standard[1],
        **{label: f"benchmarks.norm_variants:{name}" for label, name in own.items()},
    }
    run = {**_RUN, "architecture": architecture}
    if architecture == "snn":
        run["num_steps"] = 10
    return [Row(label, {**run, "norm": norm}) for label, norm in norms.items()]


TABLES = {
    "ANN": _rows("ann", ("BatchNorm", "batchnorm"), {"eps 1e-4": "eps_1e4", "eps 1e-3": "eps_1e3"}),
    "SNN, T = 10": _rows("snn", ("BNTT", "bntt"), {"eps 1e-5": "eps_1e5", "eps 1e-3": "eps_1e3"}),
}

if __name__ == "__main__":
    main(__doc__ or "", TABLES)
