"""The diagnostics of layers that the report and a sweep's page show. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd


@dataclass(frozen=True)
class ShownDiagnostic:
    """A diagnostic of layers.

    Args:
        name: its column in ``Results.diagnostics``.
        least: the lower end of its logarithmic scale; 0 for a linear scale from 0.
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
    """The diagnostics that a network has, without a support that only repeats the rate (ReLU)."""
    known = [diagnostic for diagnostic in wanted if table[diagnostic.name].notna().any()]
    if not table["support"].equals(table["rate"]):
        return known
    return [
        _ABOVE_ZERO if diagnostic is RATE else diagnostic
        for diagnostic in known
        if diagnostic is not SUPPORT
    ]
