"""Escapes invisible characters in texts that others wrote, such as names. Pure."""

from __future__ import annotations

import unicodedata

# Control and format characters, surrogates, and private or unassigned characters.
_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")


def visible(text: str) -> str:
    """A text with escapes for characters that control a terminal or the direction of writing.

    The character ESC becomes ``\\u001b``, for example.
    """
    if text.isprintable():
        return text
    return "".join(
        f"\\u{ord(char):04x}" if unicodedata.category(char) in _UNSEEN else char for char in text
    )
