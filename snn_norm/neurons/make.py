"""Makes a neuron from its name."""

from __future__ import annotations

from typing import Any

from snn_norm.neurons.layers import LIF
from snn_norm.neurons.table import NEURONS
from snn_norm.references import load_reference


def make_neuron(name: str, *, beta: float = 0.9, **keys: Any) -> LIF:
    """Make a neuron from its name.

    Args:
        name: lif, plif or if.
        beta: decay of the membrane; for plif the initial one; if, which has no leak, ignores it.
        keys: the other arguments of :class:`snn_norm.LIF`.

    Raises:
        ValueError: the name is unknown, or a key's value is wrong.
    """
    if name not in NEURONS:
        raise ValueError(f"neuron must be one of {', '.join(NEURONS)}, got {name!r}")
    if name != "if":
        keys["beta"] = beta
    neuron: LIF = load_reference(NEURONS[name])(**keys)
    return neuron
