"""What a norm looks like in every figure: a colour, and a line and a marker of its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from snn_norm.norms.table import NORMS, Norm, label_of

if TYPE_CHECKING:
    from matplotlib.typing import LineStyleType  # takes long to import

__all__ = ["COLORS", "STYLE", "Look", "called", "look_of"]

STYLE = Path(__file__).with_name("figures.mplstyle")

COLORS = tuple(
    f"#{color}"
    for line in STYLE.read_text(encoding="utf-8").splitlines()
    if line.startswith("axes.prop_cycle")
    for color in re.findall(r'"([0-9a-f]{6})"', line)
)
"""Those that C0, C1 and so on name in the figures' style."""


@dataclass(frozen=True)
class Look:
    """What a norm looks like: a colour, and for a grey print a line and a marker of its own."""

    color: str
    line: LineStyleType
    marker: str

    @property
    def hex(self) -> str:
        """The colour as a page has it."""
        return COLORS[int(self.color.removeprefix("C"))]


_OWN_LINES: Sequence[LineStyleType] = ("-.", (0, (6, 1, 1, 1, 1, 1)), (0, (1, 2.5)), (0, (8, 3)))
_OWN_MARKERS = "DvPX"


def look_of(norm: str, norms: list[str], ours: Mapping[str, Norm] = NORMS) -> Look:
    """A norm's look, among all norms of the sweep: the user's own take what is left, in order.

    Args:
        norm: one of ``norms``, or a value of what else is told apart.
        norms: all of them.
        ours: those that have a look of their own.
    """
    if known := ours.get(norm):
        return Look(known.color, cast("LineStyleType", known.line), known.marker)
    number = [name for name in norms if name not in ours].index(norm)
    taken = {known.color for known in ours.values()}
    colors = [f"C{place}" for place in range(len(COLORS))]
    free = [color for color in colors if color not in taken] or colors
    return Look(
        free[number % len(free)],
        _OWN_LINES[number % len(_OWN_LINES)],
        _OWN_MARKERS[number % len(_OWN_MARKERS)],
    )


def called(series: str, value: str, *, is_ours: bool) -> str:
    """What a legend says of a norm, or of a value of what else is told apart.

    Args:
        series: the axis that it is of.
        value: as text.
        is_ours: whether the sweep trains this package's networks, whose series are norms.
    """
    if is_ours:
        return label_of(value)
    return value if series == "train" else f"{series} {value}"
