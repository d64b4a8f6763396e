"""The style of norms, and of other compared values, in every figure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from snn_norm.norms.table import NORMS, Norm

if TYPE_CHECKING:
    from matplotlib.typing import LineStyleType  # takes long to import

STYLE = Path(__file__).with_name("figures.mplstyle")

COLORS = tuple(
    f"#{color}"
    for line in STYLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("axes.prop_cycle")
    for color in re.findall(r'"([0-9a-f]{6})"', line)
)
"""The colours that C0, C1 and so on mean in the figures' style."""


@dataclass(frozen=True)
class SeriesStyle:
    """How a norm is drawn: its colour, and a line and a marker that also differ in grey."""

    color: str
    line: LineStyleType
    marker: str

    @property
    def hex(self) -> str:
        """The colour for HTML."""
        return COLORS[int(self.color.removeprefix("C"))]


NETWORKS = {"ann": "artificial CNN", "snn": "spiking CNN"}
"""The names of this package's architectures."""

_OWN_LINES: Sequence[LineStyleType] = ("-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2.5)), (0, (8, 3)))
_OWN_MARKERS = "DvPX"


def style_of(norm: str, norms: list[str], styles: Mapping[str, Norm] = NORMS) -> SeriesStyle:
    """The style of a norm among the norms of a sweep; the user's own norms get the other styles.

    Args:
        norms: all norms of the sweep, or the other values that it compares.
        styles: the values that have a style of their own.
    """
    if known := styles.get(norm):
        return SeriesStyle(known.color, cast("LineStyleType", known.line), known.marker)
    number = [name for name in norms if name not in styles].index(norm)
    taken = {known.color for known in styles.values()}
    colors = [f"C{place}" for place in range(len(COLORS))]
    free = [color for color in colors if color not in taken] or colors
    return SeriesStyle(
        free[number % len(free)],
        _OWN_LINES[number % len(_OWN_LINES)],
        _OWN_MARKERS[number % len(_OWN_MARKERS)],
    )
