"""The diagnostics of layers that people are shown, in the report and on a sweep's page. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class ShownDiagnostic:
    """One of a layer's numbers.

    Args:
        name: its column in ``Results.diagnostics``.
        heading: above it.
        least: the least that is told apart, on a logarithmic scale; 0 for a linear one from 0 on.
    """

    name: str
    heading: str
    least: float = 0.0


RATE = ShownDiagnostic("rate", "spikes a neuron and step")
SILENT = ShownDiagnostic("silent", "silent units")
SUPPORT = ShownDiagnostic("support", "support of the surrogate", 1e-3)
GRADIENT = ShownDiagnostic("gradient", "norm of the gradient", 1e-12)

_ABOVE_ZERO = ShownDiagnostic("rate", "units above zero")


def those_with_numbers(
    wanted: Iterable[ShownDiagnostic], table: pd.DataFrame
) -> list[ShownDiagnostic]:
    """Those that a network has; the support of rectified linear units is their rate once more."""
    found = [one for one in wanted if table[one.name].notna().any()]
    if not table["support"].equals(table["rate"]):
        return found
    return [_ABOVE_ZERO if one is RATE else one for one in found if one is not SUPPORT]
