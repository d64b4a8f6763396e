"""A figure as a part of a page."""

from __future__ import annotations

import re
from pathlib import Path

from matplotlib.figure import Figure

from orchestration.render.figures import Picture, inline_svg, save, style


def test_a_figures_ids_are_its_own_and_its_pictures_keep_their_data(tmp_path: Path) -> None:
    with style():
        figure = Figure()
        axes = figure.subplots()
        axes.imshow([[0, 1], [1, 0]])
        axes.plot([0, 1], [0, 1])
        picture = Picture("why", "Why", "A picture.", figure)
        save(picture, tmp_path, ["svg"])
    text = str(inline_svg(picture, (tmp_path / "why.svg").read_text(encoding="utf-8")))
    ids = set(re.findall(r'\bid="([^"]*)"', text))
    links = re.findall(r'href="([^"]*)"', text)
    assert all(name.startswith("why-") for name in ids)
    assert any(link.startswith("data:image/png;base64,") for link in links)
    inner = [link for link in links if not link.startswith("data:")]
    assert inner
    assert {link.removeprefix("#") for link in inner} <= ids
