"""Predicts from a network's diagnostics before the first step whether it will learn.

The prediction is based on a signal: the share of the image's signal that reaches the classifier,
times the share of the classifier's gradient that reaches the layer where it is smallest.
``docs/dependency-gap.md`` has the derivation, and ``benchmarks/README.md`` the accuracy of the
rule on trials that it was not fitted to.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile

COLLAPSES_BELOW = 1e-10
"""The signal below which a network is predicted to collapse. It is low: six of the 153 trials that
learned, among the draws ``MADE_ON`` of ``benchmarks/prediction.py``, have less."""

_SILENT = 1e-6
"""The smallest spike rate per neuron and step that is used. A batch, with about a million
opportunities to spike, cannot resolve less."""

_FIRES = 0.01
"""Spikes per neuron and step below which a layer is silent. If all layers from some layer on are
silent, the first of them is named as the cause."""


@dataclass(frozen=True)
class Prediction:
    """A prediction of a network's training from its diagnostics before the first step.

    Args:
        signal: the forward times the backward signal.
        layer: the layer at which most of it is lost.
        cause: a description of what happens there.
    """

    signal: float
    layer: str
    cause: str

    @property
    def collapses(self) -> bool:
        """Whether the signal is so small that the network is predicted to learn nothing."""
        return self.signal < COLLAPSES_BELOW


def predict(diagnostics: Mapping[str, float], layers: Sequence[str]) -> Prediction | None:
    """Predict whether a network will collapse.

    Args:
        diagnostics: those of :func:`snn_norm.training.diagnostics.diagnose`, before the first step.
        layers: the layers, in the network's order; those without diagnostics are left out.

    Returns:
        The prediction; None if no layer has diagnostics.
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
        # Their input shrinks on the way forward just as the gradient does on the way back.
        return Prediction(backward, least, cause)
    rates = {layer: _number(diagnostics, "rate", layer) for layer in seen}
    signal = max(rates[last], _SILENT) * backward
    if rates[last] >= _FIRES:
        return Prediction(signal, least, cause)
    # All layers from this one on are silent. A shortcut may bypass a silent layer before it.
    silent = list(takewhile(lambda layer: rates[layer] < _FIRES, seen[::-1]))[-1]
    cause = f"{silent} fires {rates[silent]:.1g} spikes a neuron and step"
    return Prediction(signal, silent, cause)


def _number(diagnostics: Mapping[str, float], name: str, layer: str) -> float:
    """A diagnostic; zero if it is missing (no gradient arrives) or not finite."""
    value = diagnostics.get(f"{name}.{layer}", 0.0)
    return value if math.isfinite(value) else 0.0
