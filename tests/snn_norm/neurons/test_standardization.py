"""The gradient of statistics that all time steps share, against autograd's batch normalization."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from snn_norm.neurons.fused import fire
from snn_norm.neurons.recurrence import Neuron
from snn_norm.neurons.standardization import Standardization

NEURON = Neuron(beta=0.8, threshold=0.6, slope=5.0)
T, N, C, SIZE, EPS = 5, 2, 3, 4, 1e-4


def standardization(x_TNCHW: Tensor, scale_TC: Tensor, offset_TC: Tensor) -> Standardization:
    """By the statistics of the whole sequence."""
    full = x_TNCHW.detach().double()
    dims = (0, 1, 3, 4)
    mean = full.mean(dims).expand(T, C)
    inverse_deviation = (full.var(dims, correction=0).expand(T, C) + EPS).rsqrt()
    return Standardization(mean, inverse_deviation, scale_TC, offset_TC, True, over_time=True)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize("steps", [1, T])
def test_statistics_over_time_have_batch_normalizations_gradient(steps: int, pool: bool) -> None:
    """Of a constant and of a sequence, with another scale and offset at each step."""
    torch.manual_seed(0)
    x = torch.randn(steps, N, SIZE, SIZE, C, dtype=torch.float64).movedim(-1, 2) * 2 + 1
    scale, offset = (torch.rand(T, C, dtype=torch.float64) + low for low in (0.5, 0.0))
    inputs = [x.requires_grad_(), scale.requires_grad_(), offset.requires_grad_()]
    spikes, _ = fire(x, NEURON, standardization(x, scale, offset), num_steps=T, pool=pool)
    flat = x.expand(T, -1, -1, -1, -1).flatten(0, 1)
    x_hat = F.batch_norm(flat, None, None, training=True, eps=EPS).unflatten(0, (T, N))
    y = x_hat * scale[:, None, :, None, None] + offset[:, None, :, None, None]
    expected, _ = fire(y, NEURON, pool=pool)
    assert 0.1 < spikes.mean() < 0.9
    assert torch.equal(spikes, expected)
    weights = torch.randn_like(spikes)
    torch.testing.assert_close(
        torch.autograd.grad((spikes * weights).sum(), inputs),
        torch.autograd.grad((expected * weights).sum(), inputs),
        rtol=1e-10,
        atol=1e-12,
    )
