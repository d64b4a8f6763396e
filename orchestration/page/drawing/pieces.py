"""A page in pieces with ids, so that only the pieces that changed are sent. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Page:
    """The content of a page.

    Args:
        sections: the inner HTML of each section, by its id.
        cells: whole elements of the grid by their ids; they stand in the section ``grid`` too.
    """

    sections: dict[str, str]
    cells: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """A change of a page.

    Args:
        pieces: the JSON of what :func:`changes` returns; None if the page must be fetched anew.
    """

    version: str
    pieces: str | None


def since(changes: Sequence[Change], have: str) -> list[Change]:
    """The changes that follow a version.

    Args:
        changes: consecutive changes, at least one.
        have: the version. If it is not known, the page must be fetched again.
    """
    known = [change.version for change in changes]
    return list(changes[known.index(have) + 1 :]) if have in known else [Change(known[-1], None)]


def changes(old: Page, new: Page) -> dict[str, dict[str, str]]:
    """The new pieces of a page.

    If the grid has the same cells as before, only those that differ are new pieces.

    Returns:
        ``inside``: new inner HTML by the id of its element; ``whole``: new elements by their id,
        each of which replaces the element with that id.
    """
    inside = _differing(old.sections, new.sections)
    if old.cells.keys() != new.cells.keys():
        return {"inside": inside, "whole": {}}
    inside.pop("grid", None)
    return {"inside": inside, "whole": _differing(old.cells, new.cells)}


def _differing(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {name: html for name, html in new.items() if old.get(name) != html}
