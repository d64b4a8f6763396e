"""Makes names, logs and other foreign text safe to show. Pure.

Pages escape all text as HTML. Here colours of a terminal are removed, control characters and
those that change the direction of writing are shown as escapes, and very long text is cut.
"""

from __future__ import annotations

import re

from orchestration.render.visible import visible

LONGEST = 120
"""How many characters of a name are shown."""

_TERMINAL = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])")
_HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def shown(text: str, most: int = LONGEST) -> str:
    """A readable text on one line, of at most ``most`` characters."""
    readable = visible(_TERMINAL.sub("", text[: 4 * most]))
    return readable if len(readable) <= most and len(text) <= 4 * most else f"{readable[:most]}…"


def last_lines(text: str, lines: int = 12, most: int = 2000) -> str:
    """The end of a log, line by line."""
    kept = _TERMINAL.sub("", text[-4 * most :]).splitlines()[-lines:]
    return "\n".join(visible(line.expandtabs()) for line in kept)[-most:]


def harmless(html: str) -> str:
    """A piece of a page with control and bidirectional characters escaped."""
    return _HARMFUL.sub(lambda match: f"\\u{ord(match[0]):04x}", html)
