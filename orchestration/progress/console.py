"""A console that prints text as it is."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class TextConsole(Console):
    """Rich's console without its markup: names and labels are the user's and may hold brackets.

    Args, which are by name alone: as Rich's.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)
