"""Will a network learn? Its signal before the first step, from its diagnostics alone. Pure.

The signal is the share of the images that is left where the classifier reads them, times the share
of its gradient that comes back to the layer where least of it does. The derivation, and how well
the rule does on trials that it was not made on, are in section 13 of ``docs/theory.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

COLLAPSES_BELOW = 1e-10
"""The signal below which a network is predicted to collapse. Set low, where six of the 153 trials
that learned among the draws ``MADE_ON`` of ``benchmarks/prediction.py`` have less."""

_SILENT = 1e-6
"""Spikes a neuron and step: no rate counts as less, for one batch has about a million chances."""

_FIRES = 0.01
"""Spikes a neuron and step; where layers fire less up to the last, the first of them is named."""


@dataclass(frozen=True)
class Prediction:
    """What a network's diagnostics before the first step say of its training.

    Args:
        signal: the forward times the backward signal.
        layer: where most of it is lost.
        cause: in words, what happens there.
    """

    signal: float
    layer: str
    cause: str

    @property
    def collapses(self) -> bool:
        """Whether so little of a signal is left that the network is predicted to learn nothing."""
        return self.signal < COLLAPSES_BELOW


def predict(diagnostics: Mapping[str, float], layers: Sequence[str]) -> Prediction | None:
    """Predict whether a network will collapse.

    Args:
        diagnostics: of :func:`snn_norm.training.diagnostics.diagnose`, before the first step.
        layers: the layers, in the network's order; those without diagnostics are left out.

    Returns:
        None where no layer has diagnostics.
    """
    seen = [layer for layer in layers if f"rate.{layer}" in diagnostics]
    if not seen:
        return None
    last = seen[-1]
    gradients = {layer: _number(diagnostics, "gradient", layer) for layer in seen}
    least = min(seen, key=gradients.__getitem__)
    backward = gradients[least] / gradients[last] if gradients[last] else 0.0
    cause = f"{least} gets {backward:.1g} of the gradient of {last}"
    if not any(f"shift.{layer}" in diagnostics for layer in seen):  # no time steps: all are ReLU
        # Their input shrinks on its way forward as the gradient does on its way back.
        return Prediction(backward, least, cause)
    rates = {layer: _number(diagnostics, "rate", layer) for layer in seen}
    signal = max(rates[last], _SILENT) * backward
    if rates[last] >= _FIRES:
        return Prediction(signal, least, cause)
    # From here on all are silent; one before may be where a shortcut leads past it.
    silent = list(takewhile(lambda layer: rates[layer] < _FIRES, seen[::-1]))[-1]
    cause = f"{silent} fires {rates[silent]:.1g} spikes a neuron and step"
    return Prediction(signal, silent, cause)


def _number(diagnostics: Mapping[str, float], name: str, layer: str) -> float:
    """Zero where there is none: no gradient comes back, or the membranes are not numbers."""
    value = diagnostics.get(f"{name}.{layer}", 0.0)
    return value if math.isfinite(value) else 0.0
