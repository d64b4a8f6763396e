"""The figures of a sweep's search, as images for its page."""

from __future__ import annotations

import base64
import tempfile
from dataclasses import dataclass
from pathlib import Path

from orchestration.results.results import Results


@dataclass(frozen=True)
class ShownPicture:
    """A figure of a page.

    Args:
        title: a few words.
        caption: explains how to read it.
        source: the address that has the image itself, as the page's policy allows no inline style.
    """

    title: str
    caption: str
    source: str


def search_pictures(snapshot: Results) -> list[ShownPicture]:
    """The report's figures of a search; those that have no numbers yet are left out."""
    # Imported here because matplotlib takes a second, and few sweeps have a search.
    from orchestration.render.figures import save, style
    from orchestration.report.figures import search
    from orchestration.tables.report_data import ReportData

    data, shown = ReportData(snapshot.name, snapshot), []
    with style(), tempfile.TemporaryDirectory() as folder:
        for draw in (search.best_against_budget, search.importance, search.parallel_coordinates):
            if picture := draw(data):
                save(picture, Path(folder), ["svg"])
                svg = (Path(folder) / f"{picture.name}.svg").read_bytes()
                source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
                shown.append(ShownPicture(picture.title, picture.caption, source))
    return shown
