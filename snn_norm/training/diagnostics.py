r"""Diagnostics of a network's layers on one batch, which explain why it trains or fails to.

For each layer, with the membrane u that is compared with the threshold θ, and N images, T steps:

========= ==========================================================================================
rate      spikes per neuron and step, or the share of rectified linear units above zero
support   E[f'(u - θ)] / f'(0), with f' the surrogate gradient: the share of a gradient that passes
silent    share of the units that fire for no image at any step
saturated share of the units that fire for every image at every step
margin    ξ = (θ - E[u]) / std[u]; Gaussian membranes fire at the rate 1 - Φ(ξ)
gradient  norm of the loss's gradient with respect to the currents that the neurons integrate
shift     variance over t of the mean current of step t, as a share of all its variance, by channel
========= ==========================================================================================

Sources: the support is the share of "active neurons" of Perez-Nieves and Goodman, "Sparse Spiking
Gradient Descent" (NeurIPS 2021), with the surrogate itself in place of a bound; ξ is that of
Rossbroich, Gygax and Zenke, "Fluctuation-driven initialization for spiking neural network training"
(2022); the shift is the temporal covariate shift of Duan et al., "Temporal Effective Batch
Normalization in Spiking Neural Networks" (NeurIPS 2022).

The batch passes a copy of the network in float32, in training mode: norms use the batch's
statistics (before the first step there are no others), and the loss's gradient is the one that
training would follow. The network itself, its gradients and statistics, and all random number
generators stay as they are.
"""

from __future__ import annotations

import copy
import math
import re
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from snn_norm.networks.layers import standardized
from snn_norm.neurons.layers import LIF
from snn_norm.neurons.recurrence import membranes
from snn_norm.neurons.standardization import Standardization
from snn_norm.training.layer_numbers import LayerNumbers, combined
from snn_norm.training.seeding import generators_restored, seed_everything

DIAGNOSTICS = ("rate", "support", "silent", "saturated", "margin", "gradient", "shift")
"""The names of the diagnostics; as metrics they are followed by a dot and the layer."""

Watched = dict[str, dict[tuple[nn.Module, torch.Size], LayerNumbers]]
"""Numbers by layer, and within it by module and shape of its units; mostly there is just one."""


def diagnose(
    model: nn.Module, loss: Callable[[nn.Module], Tensor], *, seed: int
) -> dict[str, float]:
    """Diagnose each :class:`LIF` and ``nn.ReLU`` of a network.

    Args:
        model: the network, which is not changed.
        loss: computes the loss of the batch by the network that it gets.
        seed: seed of all random number generators during this, for a network that uses them.

    Returns:
        ``rate.conv1`` and so on, layers by their modules' names. A number that does not exist, such
        as the margin of a membrane that never changes, is NaN. Empty for a network without such
        layers.
    """
    if not layers_of(model):
        return {}
    watched: Watched = {}
    with generators_restored(), torch.enable_grad():
        seed_everything(seed)
        twin = copy.deepcopy(model).train()
        watch: Callable[..., object]
        for name, module in _neurons(twin):
            if isinstance(module, LIF):
                if module.engine == "compiled":
                    module.engine = "eager"  # a batch of another size would be compiled again
                watch = _watch_spiking(module, partial(_numbers, watched, name, module))
            else:
                watch = partial(_add_rectified, partial(_numbers, watched, name, module))
            module.register_forward_pre_hook(watch, with_kwargs=True)
        loss(twin).backward()
    found = {
        f"{name}.{layer}": value
        for layer, parts in watched.items()
        for name, value in combined(list(parts.values())).items()
    }
    if not found:
        return {}
    values = torch.stack(list(found.values())).tolist()  # waits for the device only once
    return {
        name: value if math.isfinite(value) else math.nan
        for name, value in zip(found, values, strict=True)
    }


def layers_of(model: nn.Module) -> list[str]:
    """The layers that have diagnostics, in the network's order."""
    return list(dict.fromkeys(name for name, _ in _neurons(model)))


def _neurons(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The neurons whose names are valid as a part of a metric's name."""
    named = ((name.rpartition(".")[2], module) for name, module in model.named_modules())
    return [
        (name, module)
        for name, module in named
        if isinstance(module, LIF | nn.ReLU) and re.fullmatch(r"[\w -]+", name)
    ]


def _numbers(watched: Watched, layer: str, module: nn.Module, units: torch.Size) -> LayerNumbers:
    """The numbers of a module's units of this shape."""
    of_layer, key = watched.setdefault(layer, {}), (module, units)
    if key not in of_layer:
        of_layer[key] = LayerNumbers(module.constants() if isinstance(module, LIF) else None)
    return of_layer[key]


_NumbersOf = Callable[[torch.Size], LayerNumbers]
_Call = tuple[tuple[Any, ...], dict[str, Any]]


def _add_rectified(
    numbers_of: _NumbersOf, _module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    x_N: Tensor = args[0] if args else kwargs["input"]
    numbers = numbers_of(x_N.shape[1:])
    with torch.no_grad():
        numbers.add(x_N.unsqueeze(0), x_N.unsqueeze(0))
    _follow(x_N, numbers)


def _watch_spiking(module: LIF, numbers_of: _NumbersOf) -> Callable[..., _Call]:
    """Make a hook that sees the currents that the neurons integrate, at every step.

    So that all norms are seen at the same place, the hook standardizes the input in place of the
    neurons, with the same numbers up to rounding.
    """
    norm: Any = module.on_membrane

    def see(_module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> _Call:
        call = dict(zip(("x_TN", "standardization"), args, strict=False)) | kwargs
        x_TN, standardization = call["x_TN"], call.pop("standardization", None)
        num_steps = call.get("num_steps") or len(x_TN)
        x_TN = x_TN if len(x_TN) == num_steps else x_TN.expand(num_steps, *x_TN.shape[1:])
        if standardization is not None:
            x_TN = standardized(x_TN, standardization)
        numbers = numbers_of(x_TN.shape[2:])
        _follow(x_TN, numbers)
        if norm is not None:
            norm.standardization = _listening(norm, x_TN, numbers)
        else:
            before = getattr(call.get("state"), "membrane", None)
            with torch.no_grad():
                numbers.add(x_TN, membranes(x_TN, before, module.constants(), num_steps))
        return (x_TN,), {key: value for key, value in call.items() if key != "x_TN"}

    return see


def _listening(
    norm: Any, x_TN: Tensor, numbers: LayerNumbers
) -> Callable[[Tensor, slice], Standardization]:
    """A membrane norm's ``standardization`` that also records the membranes at the threshold."""
    of_class = type(norm).standardization

    def standardization(v_TNCHW: Tensor, steps: slice) -> Standardization:
        made: Standardization = of_class(norm, v_TNCHW, steps)
        with torch.no_grad():
            tested = made.at(0).apply(v_TNCHW[0], torch.empty_like(v_TNCHW[0]))
            numbers.add(x_TN[steps], tested.unsqueeze(0))
        return made

    return standardization


def _follow(x: Tensor, numbers: LayerNumbers) -> None:
    """Record the gradient of these currents, if they have one."""
    if x.requires_grad:
        x.register_hook(numbers.add_gradient)
