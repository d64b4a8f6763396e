"""Spiking neurons: layers, and the recurrence over time and its gradient, eager and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.neurons.layers import IF, LIF, PLIF, LeakyReadout
    from snn_norm.neurons.make import make_neuron

__all__ = ["IF", "LIF", "PLIF", "LeakyReadout", "make_neuron"]

__getattr__ = lazily(
    __name__,
    {
        "IF": "snn_norm.neurons.layers",
        "LIF": "snn_norm.neurons.layers",
        "PLIF": "snn_norm.neurons.layers",
        "LeakyReadout": "snn_norm.neurons.layers",
        "make_neuron": "snn_norm.neurons.make",
    },
)
