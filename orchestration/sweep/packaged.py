"""The specs that come with the package. Loads nothing else, so that ``--help`` can list them."""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parents[1] / "specs"


def packaged_specs() -> dict[str, Path]:
    """The specs that come with the package, by name."""
    return {path.stem: path for path in sorted(_FOLDER.glob("*.yaml"))}
