"""How figures look and how they are written: one style, three formats, the same bytes each time."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import matplotlib.style
from markupsafe import Markup, escape
from matplotlib.backend_bases import FigureCanvasBase
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from orchestration.render.series_style import STYLE


@dataclass(frozen=True)
class Picture:
    """A figure and what is said about it.

    Args:
        name: of its files.
        title: a few words.
        caption: how to read it.
        figure: matplotlib's.
        description: what it shows, for people who do not see it; default: the caption.
    """

    name: str
    title: str
    caption: str
    figure: Figure
    description: str = ""


@contextmanager
def style() -> Iterator[None]:
    """The figures' style, whatever the user's own matplotlib settings are."""
    with matplotlib.style.context(["default", STYLE]):
        yield


_Saved = tuple[type[FigureCanvasBase], dict[str, Any]]

FORMATS: dict[str, _Saved] = {
    "pdf": (FigureCanvasPdf, {"CreationDate": None, "Creator": None, "Producer": None}),
    "svg": (FigureCanvasSVG, {"Date": None, "Creator": None, "Format": None, "Type": None}),
    "png": (FigureCanvasAgg, {"Software": None}),
}
"""What a figure is written as: what draws it, and what keeps dates and versions out."""


def save(
    picture: Picture, folder: Path, forms: Collection[str] = tuple(FORMATS), name: str | None = None
) -> None:
    """Write a picture, as PDF, SVG and PNG unless other forms are named.

    It is laid out once, and drawn once a format; ``Figure.savefig`` would draw it seven times.

    Args:
        picture: to write.
        folder: where to.
        forms: of FORMATS.
        name: of its files; default: the picture's own.
    """
    figure = picture.figure
    if layout := figure.get_layout_engine():
        layout.execute(figure)
    figure.set_layout_engine("none")
    for form in forms:
        canvas, metadata = FORMATS[form]
        figure.set_dpi(mpl.rcParams["savefig.dpi"])
        write = getattr(canvas(figure), f"print_{form}")
        write(folder / f"{name or picture.name}.{form}", metadata=metadata)


def inline_svg(picture: Picture, svg: str) -> Markup:
    """A picture's SVG as an element of a page."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # Ids are unique in a figure alone; a page holds several. A picture in it has its data as href.
    text = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\1{picture.name}-", text)
    width, height = (72 * inches for inches in picture.figure.get_size_inches())
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" class="figure" '
        f'style="max-width: {width * 1.6:.0f}px" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(f'{picture.title}: {picture.description or picture.caption}')}</title>"
    )
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1))
