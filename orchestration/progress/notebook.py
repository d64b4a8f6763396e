"""Displays the progress of a sweep in a notebook: one table in the cell, kept up to date."""

from __future__ import annotations

import io
import sys
import time
from typing import Any, Self

from orchestration.progress.console import TextConsole
from orchestration.progress.display import LiveDisplay
from orchestration.progress.events import Event

_SECONDS = 0.5
"""The least time between two updates of the cell."""
_WIDTH = 120
_PRE = '<pre style="white-space: pre; overflow-x: auto; line-height: 1.3">{code}</pre>'


def is_notebook() -> bool:
    """Whether this process is the kernel of a notebook, whose cells show HTML."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return shell is not None and getattr(shell, "kernel", None) is not None


class NotebookDisplay:
    """The table that a terminal shows, in the output of the cell that runs the sweep."""

    def __init__(self) -> None:
        # The table is drawn by the terminal's display, on a console that nobody sees. Without
        # force_jupyter, Rich would show in the notebook whatever is printed there.
        self._console = TextConsole(
            file=io.StringIO(), record=True, width=_WIDTH, height=1000, force_jupyter=False
        )
        self._table = LiveDisplay(self._console)
        self._notes = ""
        self._shown_at = 0.0
        self._handle: Any = None

    def __enter__(self) -> Self:
        from IPython.display import HTML, display

        self._handle = display(HTML(""), display_id=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._show()

    def __call__(self, event: Event) -> None:
        """Show one event in the table, or below it."""
        self._table(event)
        self._notes += self._console.export_text()
        if time.monotonic() - self._shown_at > _SECONDS:
            self._show()

    def _show(self) -> None:
        from IPython.display import HTML

        self._shown_at = time.monotonic()
        self._console.print(self._table.table())
        self._console.print(self._notes)
        page = self._console.export_html(inline_styles=True, code_format=_PRE)
        self._handle.update(HTML(page))
