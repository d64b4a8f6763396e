"""What the tests of the field's norms share: inputs, layers and their kinds."""

from __future__ import annotations

from typing import Any

import torch
from slow_norms import (
    Array,
)
from torch import Tensor, nn

from snn_norm.norms.table import NORMS, norms_of
from snn_norm.references import load_reference

T, N, C, H, W = 3, 4, 2, 2, 3


def sequence(seed: int, steps: int = T) -> Tensor:
    """(T, N, C, H, W), with another mean and deviation at each step and in each batch."""
    generator = torch.Generator().manual_seed(seed)
    x_TNCHW = torch.randn(steps, N, C, H, W, generator=generator, dtype=torch.float64)
    level = torch.arange(steps, dtype=torch.float64)[:, None, None, None, None]
    return x_TNCHW * (1 + 0.3 * level) + level + 0.5 * seed


def make(name: str, **keys: Any) -> Any:
    """A spiking network's norm in double precision, its parameters no longer 1 and 0."""
    norm = load_reference(NORMS[name].layers["snn"])(C, T, dtype=torch.float64, **keys)
    with torch.no_grad():
        for parameter in norm.parameters():
            step = torch.linspace(-0.4, 0.3, parameter.numel(), dtype=torch.float64)
            parameter.add_(step.view(parameter.shape))
    return norm


def assert_same(actual: Any, expected: Any, **tolerance: float) -> None:
    torch.testing.assert_close(actual, expected, **{"rtol": 1e-9, "atol": 1e-11, **tolerance})


def array(tensor: Tensor) -> Array:
    values: Array = tensor.detach().numpy()
    return values


OF_BATCHES = {
    "batchnorm": ("all", True),
    "bntt": ("each", False),
    "tdbn": ("all", True),
    "tebn": ("all", True),
    "tab": ("up to", False),
    "mpbn": ("each", True),
}
"""Over which steps statistics are taken, and whether the running ones are shared by all."""

ON_CURRENTS = [n for n in norms_of("snn") if n != "none" and NORMS[n].place == "currents"]
OF_ACTIVATIONS = [*ON_CURRENTS, "mpbn"]
MOVING = [n for n in OF_ACTIVATIONS if n not in ("groupnorm", "layernorm")]
STEP_BY_STEP = ["bntt", "mpbn", "osr", "groupnorm", "layernorm", "homeostatic"]


def gradients(norm: nn.Module, y: Tensor, x: Tensor, grad: Tensor) -> list[Tensor]:
    return list(torch.autograd.grad(y, [x, *norm.parameters()], grad))
