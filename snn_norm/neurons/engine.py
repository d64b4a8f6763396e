"""Chooses how a network's spiking layers compute, once, when training starts."""

from __future__ import annotations

import functools
import importlib
import importlib.util
import logging
from typing import Literal

import torch
from torch import nn

from snn_norm.neurons import kernels
from snn_norm.neurons.fused import Engine
from snn_norm.neurons.layers import LIF
from snn_norm.neurons.recurrence import Inputs, Neuron
from snn_norm.neurons.standardization import Standardization

_LOG = logging.getLogger(__name__)


def choose_engine(
    model: nn.Module, wanted: bool | Literal["auto"], device: torch.device
) -> Engine | None:
    """Set how each :class:`LIF` of a network computes, and log it.

    A network with norms on the membrane is always eager, since they have no other form.

    Args:
        model: a network.
        wanted: true compiles, and false leaves the network eager. Auto compiles on a GPU, and takes
            numba on a CPU if it is installed.
        device: the device on which the network computes.

    Returns:
        The engine chosen; None for a network without such a layer.

    Raises:
        ValueError: ``wanted`` is true, but nothing can be compiled on this machine.
    """
    neurons = [module for module in model.modules() if isinstance(module, LIF)]
    if not neurons:
        return None
    engine: Engine = _by_default(device) if wanted == "auto" else "compiled" if wanted else "eager"
    if any(neuron.on_membrane is not None for neuron in neurons):
        engine = "eager"
    problem = _problem(engine, device)
    if problem is not None:
        tool = "torch.compile" if engine == "compiled" else "numba"
        problem = f"{tool} does not work here on {device.type}: {problem}; install what it needs"
        if wanted is True:
            raise ValueError(f"compile is true, but {problem}; set compile to auto")
        _LOG.warning("spiking layers are eager: %s", problem)
        engine = "eager"
    how = "computed by numba" if engine == "numba" else engine
    _LOG.info("spiking layers are %s on %s", how, device)
    set_engine(model, engine)
    return engine


def set_engine(model: nn.Module, engine: Engine) -> None:
    """Let each :class:`LIF` of a network compute by this engine."""
    for module in model.modules():
        if isinstance(module, LIF):
            module.engine = engine


def _by_default(device: torch.device) -> Engine:
    """On a CPU never ``compiled``, since that takes minutes."""
    if device.type == "cuda":
        return "compiled"
    by_numba = device.type == "cpu" and importlib.util.find_spec("numba") is not None
    return "numba" if by_numba else "eager"


@functools.cache  # since trying a compiler takes seconds
def _problem(engine: Engine, device: torch.device) -> str | None:
    """The reason why an engine does not work; None if a test layer of it does."""
    if engine == "eager":
        return None
    x_TNCHW = torch.zeros(2, 1, 1, 4, 4, device=device)
    ones_TC = torch.ones(2, 1, device=device)
    neuron = Neuron(0.9, 1.0, 25.0)
    standardization = Standardization(ones_TC, ones_TC, ones_TC, ones_TC, of_batch=True)
    try:
        numba = "snn_norm.neurons.numba_engine"
        module = kernels if engine == "compiled" else importlib.import_module(numba)
        inputs = Inputs(x_TNCHW, None, neuron, 2, True, standardization)
        spikes_TNCHW, _ = module.spikes(inputs)
        module.gradients(inputs, spikes_TNCHW, None)
    except Exception as error:  # noqa: BLE001 - whichever the compiler has, or its absence
        first_paragraph = str(error).partition("\n\n")[0]
        return f"{type(error).__name__}: {' '.join(first_paragraph.split())}"
    return None
