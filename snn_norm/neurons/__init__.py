"""Spiking neurons: layers, and the recurrence over time and its gradient, eager and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.neurons.layers import IF as IF
    from snn_norm.neurons.layers import LIF as LIF
    from snn_norm.neurons.layers import PLIF as PLIF
    from snn_norm.neurons.layers import LeakyReadout as LeakyReadout
    from snn_norm.neurons.layers import make_neuron as make_neuron

_HOMES = {
    "IF": "snn_norm.neurons.layers",
    "LIF": "snn_norm.neurons.layers",
    "PLIF": "snn_norm.neurons.layers",
    "LeakyReadout": "snn_norm.neurons.layers",
    "make_neuron": "snn_norm.neurons.layers",
}
__all__ = list(_HOMES)
__getattr__ = lazily(__name__, _HOMES)
