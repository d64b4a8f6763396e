"""How figures look and how they are written: one style, three formats, the same bytes each time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib.style
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.typing import LineStyleType

from snn_norm.norms.table import NORMS

__all__ = ["Look", "Picture", "inline_svg", "look_of", "save", "style"]

_STYLE = Path(__file__).with_name("figures.mplstyle")


@dataclass(frozen=True)
class Picture:
    """A figure and what is said about it.

    Args:
        name: of its files.
        title: a few words.
        caption: how to read it.
        figure: matplotlib's.
    """

    name: str
    title: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Look:
    """What a norm looks like: a colour, and for a grey print a line and a marker of its own."""

    color: str
    line: LineStyleType
    marker: str


_OTHERS = [
    Look("C3", "-.", "D"),
    Look("C4", (0, (6, 1, 1, 1, 1, 1)), "v"),
    Look("C5", (0, (1, 2.5)), "P"),
    Look("C6", (0, (8, 3)), "X"),
]


def look_of(norm: str, norms: list[str]) -> Look:
    """A norm's look, among all norms of the sweep: the user's own take what is left, in order."""
    if known := NORMS.get(norm):
        return Look(known.color, cast("LineStyleType", known.line), known.marker)
    others = [name for name in norms if name not in NORMS]
    return _OTHERS[others.index(norm) % len(_OTHERS)]


@contextmanager
def style() -> Iterator[None]:
    """The figures' style, whatever the user's own matplotlib settings are."""
    with matplotlib.style.context(["default", _STYLE]):
        yield


_NO_DATES: dict[str, dict[str, Any]] = {
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
    "svg": {"Date": None, "Creator": None, "Format": None, "Type": None},
    "png": {"Software": None},
}


def save(picture: Picture, folder: Path) -> list[Path]:
    """Write a picture as PDF, SVG and PNG; give the files."""
    # Laid out once, and not anew for each format.
    picture.figure.draw_without_rendering()
    picture.figure.set_layout_engine("none")
    paths = []
    for form, metadata in _NO_DATES.items():
        path = folder / f"{picture.name}.{form}"
        picture.figure.savefig(path, format=form, metadata=metadata)
        paths.append(path)
    return paths


_INKS = {
    "#222222": "var(--ink)",
    "#666666": "var(--faint)",
    "#dddddd": "var(--rule)",
    "#ffffff": "var(--paper)",
    "#333333": "var(--c0)",
    "#0072b2": "var(--c1)",
    "#d55e00": "var(--c2)",
    "#009e73": "var(--c3)",
    "#cc79a7": "var(--c4)",
    "#e69f00": "var(--c5)",
    "#56b4e9": "var(--c6)",
}
"""The style's colours as variables of the page, which has others for a dark one."""


def inline_svg(picture: Picture, svg: str) -> Markup:
    """A picture's SVG as an element of a page, in the page's colours."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids are unique in a figure alone; a page holds several.
    text = re.sub(r'((?:\bid|href)="#?|url\(#)', rf"\1{picture.name}-", text)
    for ink, variable in _INKS.items():
        text = text.replace(ink, variable)
    width, height = (72 * inches for inches in picture.figure.get_size_inches())
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" class="figure" '
        f'style="max-width: {width * 1.6:.0f}px" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{picture.title}: {picture.caption}</title>"
    )
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1))
