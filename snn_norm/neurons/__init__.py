"""Spiking neurons: layers, and the recurrence over time and its gradient, eager and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from snn_norm.lazy import lazily

if TYPE_CHECKING:
    from snn_norm.neurons.layers import IF, LIF, PLIF, LeakyReadout, make_neuron

__all__ = ["IF", "LIF", "PLIF", "LeakyReadout", "make_neuron"]
__getattr__ = lazily(__name__, dict.fromkeys(__all__, "snn_norm.neurons.layers"))
