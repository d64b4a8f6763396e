"""A page in pieces, each under an id, so that those that changed can be sent alone. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

__all__ = ["Page", "changes"]


@dataclass(frozen=True)
class Page:
    """What stands on a page.

    Args:
        sections: the HTML inside each, by its id.
        cells: whole elements of the grid by their ids; they stand in the section ``grid`` too.
    """

    sections: dict[str, str]
    cells: dict[str, str] = field(default_factory=dict)


def changes(old: Page, new: Page) -> dict[str, dict[str, str]]:
    """What has to be put in place of what.

    Of a grid that has the same cells as before, only those that differ.

    Returns:
        ``inside``, the new inside of elements by id, and ``whole``, new elements in the place of
        those of the same id.
    """
    inside = _differing(old.sections, new.sections)
    if old.cells.keys() != new.cells.keys():
        return {"inside": inside, "whole": {}}
    inside.pop("grid", None)
    return {"inside": inside, "whole": _differing(old.cells, new.cells)}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {name: html for name, html in new.items() if old.get(name) != html}
