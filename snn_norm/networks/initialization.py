"""Initial weights with which a network fires without a norm.

Without them, a comparison with a network that has no norm would measure the effect of PyTorch's
initial weights, with which a deep spiking network is silent, and not that of the missing norm.

Weights are normal with mean 0, and biases are 0. If a neuron has n inputs of mean square m, its
currents have the variance n · m · Var w. The initializations differ in the variance they choose:

=============  =======================  ===================  =======================================
init           Var w                    inputs m             source
=============  =======================  ===================  =======================================
default        PyTorch's own, uniform: 1 / (3n)
kaiming        2 / n                                         https://arxiv.org/abs/1502.01852
fluctuation    (θ/ξ)² / (n · m · ε̂)     of rate 1 - Φ(ξ)     Rossbroich, Gygax and Zenke 2022
                                                             (https://arxiv.org/abs/2206.10226)
activity       1 / (n · m)              of rate 1 - Φ(θ)     https://arxiv.org/abs/2410.00580
=============  =======================  ===================  =======================================

Spikes of rate p have m = p, and their averages over 2x2 squares, taken as independent, (p + 3p²)/4;
images are normalized, so m = 1. In the first paper's terms μ_w and μ_U are 0, p is the rate of the
inputs, and ε̂ is the factor by which the leak increases the variance, from currents that are
independent between steps to the membrane: Σ β²ᵏ over the steps so far, averaged over all steps. ξ
is the distance from the mean membrane to the threshold in standard deviations of the membrane. The
paper proposes 1 to 3; here it is 1. If a layer fires less than intended by a small factor, the next
layer fires less by that factor to the power of 0.76 at ξ = 1, but to the power of 2.4 at ξ = 2,
where a few layers silence the rest. The second paper keeps the variance of the currents at 1, that
of a membrane's first step. Both are mean-field theories, which include no reset, no edges and no
shortcuts. In a plain network of twenty layers, the last layers are silent with the first, but not
with the second.
"""

from __future__ import annotations

import math
from statistics import NormalDist

import torch
from torch import nn

from snn_norm.networks.trunk import TrunkNetwork

_DEVIATIONS = 1.0
"""ξ of the table above."""


@torch.no_grad()
def initialize(
    model: TrunkNetwork, init: str, *, num_steps: int = 1, beta: float = 0.0, threshold: float = 1.0
) -> None:
    """Redraw the weights of all layers with neurons; the classifier keeps its weights.

    Args:
        model: a network with PyTorch's initial weights.
        init: a name in the table above.
        num_steps, beta, threshold: the constants of the spiking network.
    """
    if init == "default":
        return
    rate = 1 - NormalDist().cdf(_DEVIATIONS if init == "fluctuation" else threshold)
    of_pooled = (rate + 3 * rate**2) / 4
    pooled = model.trunk.pooled
    # ε̂: the variance of the membrane, if currents of variance 1 are independent between steps.
    of_leak = sum((num_steps - k) * beta ** (2 * k) for k in range(num_steps)) / num_steps
    moments: list[tuple[nn.Module, float]] = []
    for layer in model.trunk.layers:
        of_spikes = of_pooled if layer.source in pooled else rate
        of_inputs = 1.0 if layer.source is None else of_spikes
        moments.append((model.convolutions[layer.name], of_inputs))
    if model.hidden is not None:
        last = model.trunk.layers[-1].name
        moments.append((model.hidden, of_pooled if last in pooled else rate))
    for module, moment in moments:
        assert isinstance(module, nn.Conv2d | nn.Linear)
        inputs = module.weight[0].numel()
        variance = 1 / (inputs * moment)
        if init == "kaiming":
            variance = 2 / inputs
        elif init == "fluctuation":
            variance *= (threshold / _DEVIATIONS) ** 2 / of_leak
        module.weight.normal_(0, math.sqrt(variance))
        if module.bias is not None:
            module.bias.zero_()
