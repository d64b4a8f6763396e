"""Will a network learn? Its signal before the first step, from its diagnostics alone. Pure.

The signal is the share of the images that is left on their way to the classifier, times the share
of a gradient that the last layer before it lets through. The derivation, and how well the rule
does on trials that it was not made on, are in section 13 of ``docs/theory.md``.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

__all__ = ["COLLAPSES_BELOW", "Prediction", "predict"]

COLLAPSES_BELOW = 1e-4
"""The signal below which a network is predicted to collapse. Set below the signals of all trials
but one that learned among the draws ``MADE_ON`` of ``benchmarks/prediction.py``."""

_FIRES = 0.01
"""Spikes a neuron and step; where layers fire less up to the last, the first of them is named."""


@dataclass(frozen=True)
class Prediction:
    """What a network's diagnostics before the first step say of its training.

    Args:
        signal: the forward times the backward signal.
        layer: where it is lost, if it is.
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
    first, last = seen[0], seen[-1]
    backward = _number(diagnostics, "support", last)
    if not any(f"shift.{layer}" in diagnostics for layer in seen):  # no time steps: all are ReLU
        # Their input shrinks on its way forward as the gradient does on its way back.
        forward = _number(diagnostics, "gradient", first)
        forward /= _number(diagnostics, "gradient", last) or math.inf
        cause = f"{first} gets {forward:.1g} of the gradient of {last}"
        return Prediction(forward * backward, first, cause)
    rates = {layer: _number(diagnostics, "rate", layer) for layer in seen}
    signal = rates[last] * backward
    if rates[last] < _FIRES:
        # From here on all are; one before may be silent where a shortcut leads past it.
        silent = list(takewhile(lambda layer: rates[layer] < _FIRES, seen[::-1]))[-1]
        cause = f"{silent} fires {rates[silent]:.1g} spikes a neuron and step"
        return Prediction(signal, silent, cause)
    cause = f"the surrogate of {last} lets {backward:.1g} of a gradient through"
    return Prediction(signal, last, cause)


def _number(diagnostics: Mapping[str, float], name: str, layer: str) -> float:
    """Zero where there is none: no gradient comes back, or the membranes are not numbers."""
    value = diagnostics.get(f"{name}.{layer}", 0.0)
    return value if math.isfinite(value) else 0.0
