"""The style of figures, and how they are saved: three formats, with the same bytes each time."""

from __future__ import annotations

import io
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


class ReportFigure(Figure):
    """matplotlib's figure, which a notebook shows in the report's style, whatever its settings."""

    def _repr_png_(self) -> bytes:
        with style():
            written = io.BytesIO()
            self.savefig(written, format="png")
        return written.getvalue()


@dataclass(frozen=True)
class Picture:
    """A figure with its title and caption.

    Args:
        name: the name of its files.
        caption: explains how to read it.
        description: describes it for people who cannot see it; by default the caption.
    """

    name: str
    title: str
    caption: str
    figure: ReportFigure
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
"""The formats of a figure: the backend that draws it, and metadata without dates and versions."""


def save(picture: Picture, folder: Path, forms: Collection[str] = tuple(FORMATS)) -> None:
    """Write a picture under its name into a folder, in some of FORMATS.

    It is laid out once, and drawn once a format; ``Figure.savefig`` would draw it seven times.
    """
    figure = picture.figure
    if layout := figure.get_layout_engine():
        layout.execute(figure)
    figure.set_layout_engine("none")
    for form in forms:
        canvas, metadata = FORMATS[form]
        figure.set_dpi(mpl.rcParams["savefig.dpi"])
        write = getattr(canvas(figure), f"print_{form}")
        write(folder / f"{picture.name}.{form}", metadata=metadata)


def inline_svg(picture: Picture, svg: str) -> Markup:
    """A picture's SVG as an element of a page."""
    text = svg[svg.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    # A page has several figures, so ids get the figure's name. Images have their data in href.
    text = re.sub(r'(\bid="|\bhref="#|url\(#)', rf"\1{picture.name}-", text)
    width, height = (72 * inches for inches in picture.figure.get_size_inches())
    head = (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" class="figure" '
        f'style="max-width: {width * 1.6:.0f}px" '
        'xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg">'
        f"<title>{escape(f'{picture.title}: {picture.description or picture.caption}')}</title>"
    )
    return Markup(re.sub(r"<svg[^>]*>", lambda _: head, text, count=1))
