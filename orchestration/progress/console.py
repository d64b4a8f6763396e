"""A console that prints text unchanged."""

from __future__ import annotations

from typing import Any

from rich.console import Console


class TextConsole(Console):
    """Rich's console without its markup, as the user's names and labels may hold brackets.

    Takes Rich's keyword arguments.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(markup=False, highlight=False, emoji=False, **options)
