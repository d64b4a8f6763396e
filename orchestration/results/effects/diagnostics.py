"""The table of diagnostics, with one row per layer, from metrics by epoch. Pure.

What is recorded, and how it is computed, is in :mod:`snn_norm.training.diagnostics`; what follows
from that is computed here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import pandas as pd
from scipy import special

from orchestration.reading.records import DIAGNOSTICS

COLUMNS = (
    *("rate", "rate_ratio", "gaussian_rate", "support", "silent", "saturated", "margin"),
    *("gradient", "gradient_ratio", "shift"),
)
"""The columns of the table: the recorded metrics, and what follows from them."""


def by_layer(points: pd.DataFrame, order: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Return one row per run, epoch and layer, in this order; layers are in the network's order.

    Columns: ``run_id``, ``epoch``, ``layer`` and :data:`COLUMNS`, NaN if nothing was recorded.
    ``rate_ratio`` is the ratio to the rate of the layer before, ``gaussian_rate`` is the rate of
    Gaussian membranes of this margin, and ``gradient_ratio`` is the ratio to the gradient of the
    layer after.

    Args:
        points: ``run_id``, ``metric``, ``epoch``, ``value`` of diagnostics only.
        order: each run's layers in the network's order. Without it, layers are ordered by name.
    """
    parts = [str(metric).partition(".") for metric in points["metric"]]
    named = points.assign(
        name=pd.Series([name for name, _, _ in parts], points.index, dtype="str"),
        layer=pd.Series([layer for _, _, layer in parts], points.index, dtype="str"),
    )
    index = ["run_id", "epoch", "layer"]
    table = named.pivot(index=index, columns="name", values="value").rename_axis(columns=None)
    table = table.reindex(columns=[name.rstrip(".") for name in DIAGNOSTICS]).reset_index()
    places = {
        (run_id, layer): place
        for run_id, layers in named.groupby("run_id")["layer"].unique().items()
        for place, layer in enumerate(_in_order(layers, order.get(str(run_id), ())))
    }
    pairs = zip(table["run_id"], table["layer"], strict=True)
    table["place"] = pd.Series([places[pair] for pair in pairs], table.index, dtype="int64")
    table = table.sort_values(["run_id", "epoch", "place"], ignore_index=True)
    of_network = table.groupby(["run_id", "epoch"])
    table["rate_ratio"] = table["rate"] / of_network["rate"].shift(1)
    table["gradient_ratio"] = table["gradient"] / of_network["gradient"].shift(-1)
    table["gaussian_rate"] = special.ndtr(-table["margin"])
    return table[[*index, *COLUMNS]]


def _in_order(layers: Iterable[str], known: Sequence[str]) -> list[str]:
    """First the layers whose order is known, then the others by name, with numbers as numbers."""

    def key(layer: str) -> tuple[int, list[str | int]]:
        parts = re.split(r"(\d+)", layer)
        natural = [int(part) if number % 2 else part for number, part in enumerate(parts)]
        return (known.index(layer) if layer in known else len(known), natural)

    return sorted(layers, key=key)
