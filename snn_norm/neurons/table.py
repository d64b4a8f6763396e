"""All neurons, resets and surrogate gradients that a configuration may name; imports no torch."""

from __future__ import annotations

NEURONS = {
    "lif": "snn_norm.neurons.layers:LIF",
    "plif": "snn_norm.neurons.layers:PLIF",
    "if": "snn_norm.neurons.layers:IF",
}
"""The layer of each neuron."""

RESETS = ("subtract", "zero")
"""The effect of a spike on the membrane, one step later."""

SURROGATES = {"fast_sigmoid": 25.0, "atan": 2.0, "triangle": 1.0, "rectangle": 1.0, "sigmoid": 4.0}
"""The usual slope of each surrogate: snnTorch's for fast_sigmoid, SpikingJelly's for the others."""
