"""Chooses whether a network's spiking layers are compiled, once, when training starts."""

from __future__ import annotations

import functools
import logging
from typing import Literal

import torch
from torch import nn

from snn_norm.neurons import kernels
from snn_norm.neurons.layers import LIF

Engine = Literal["eager", "compiled"]
"""How spiking layers compute: by :mod:`snn_norm.neurons.recurrence` or by ``kernels`` beside it."""

_LOG = logging.getLogger(__name__)


def choose_engine(
    model: nn.Module, wanted: bool | Literal["auto"], device: torch.device
) -> Engine | None:
    """Set how each :class:`LIF` of a network computes, and log it.

    A network with norms on the membrane is always eager, since they have no compiled form.

    Args:
        model: a network.
        wanted: true compiles, false does not, auto compiles on a GPU.
        device: the device on which the network computes.

    Returns:
        The engine chosen; None for a network without such a layer.

    Raises:
        ValueError: ``wanted`` is true, but nothing can be compiled on this machine.
    """
    neurons = [module for module in model.modules() if isinstance(module, LIF)]
    if not neurons:
        return None
    compiled = _compiled_by_default(device) if wanted == "auto" else wanted
    compiled = compiled and all(neuron.on_membrane is None for neuron in neurons)
    problem = _compiler_problem(device) if compiled else None
    if problem is not None:
        problem = (
            f"torch.compile does not work here on {device.type}: {problem}; install what it needs"
        )
        if wanted is True:
            raise ValueError(f"compile is true, but {problem}; set compile to auto")
        _LOG.warning("spiking layers are eager: %s", problem)
        compiled = False
    for neuron in neurons:
        neuron.compiled = compiled
    engine: Engine = "compiled" if compiled else "eager"
    _LOG.info("spiking layers are %s on %s", engine, device)
    return engine


def _compiled_by_default(device: torch.device) -> bool:
    """False on a CPU: most of a step is convolutions there, and compiling takes minutes."""
    return device.type == "cuda"


_compiler_problem = functools.cache(kernels.problem)  # since trying the compiler takes seconds
