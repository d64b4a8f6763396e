"""Makes a page of evidence out of a template, whose words are written by hand, and exported sweeps.

Every number, table and figure of the page comes from an archive in this folder, and every
sentence that compares is checked against them. The template is Jinja2's. :mod:`.slots` has the
slots that it may use, and :mod:`.claims` the comparisons.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from jinja2 import Environment, StrictUndefined

from benchmarks.evidence.claims import claim
from benchmarks.evidence.slots import SLOTS, Slots
from orchestration.errors import InputError
from orchestration.render.figures import Picture, style
from orchestration.render.figures import save as save_figure

HEAD = "<!-- Made by `python -m benchmarks.evidence` from benchmarks/evidence/*.md.jinja. -->\n"
"""Begins what is made."""

END = "<!-- Made until here. -->\n"
"""Ends it in a page that is written by hand besides."""


@dataclass(frozen=True)
class Page:
    """A page.

    Args:
        text: Markdown.
        pictures: its figures, by the name that it gives their files.
    """

    text: str
    pictures: dict[str, Picture]

    def write(self, path: Path) -> None:
        """Write it, and its figures as SVG into the folder of its name beside it."""
        path.write_text(self.text, encoding="utf-8", newline="\n")
        folder = path.with_suffix("")
        with style():
            for name, picture in self.pictures.items():
                folder.mkdir(exist_ok=True)
                save_figure(replace(picture, name=name), folder, ["svg"])


def render(template: str, archives: Collection[Path], folder: str = "evidence") -> Page:
    """Fill a template.

    Args:
        template: Jinja2's.
        archives: the files of the sweeps that it names.
        folder: of the figures, as the page names it.

    Raises:
        InputError: it asks for what is not there; the message says what is.
        jinja2.TemplateError: it is no template.
    """
    evidence = Slots(archives, folder)
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    environment.filters["claim"] = claim
    slots = {name: getattr(evidence, name) for name in SLOTS}
    text = environment.from_string(template).render(sweeps=sorted(evidence.files), **slots)
    return Page(HEAD + text, evidence.pictures)


def with_part(page: str, part: str) -> str:
    """A page that is written by hand, with what :func:`render` gave between its two marks.

    Raises:
        InputError: it does not have each mark once.
    """
    head, *rest = page.split(HEAD)
    if len(rest) != 1 or rest[0].count(END) != 1:
        raise InputError(f"the page must have {HEAD.strip()!r} and {END.strip()!r}, once each")
    return f"{head}{part.rstrip()}\n{END}{rest[0].partition(END)[2]}"
