"""Texts that others wrote cannot move what stands beside them."""

from __future__ import annotations

import pytest

from orchestration.page.drawing.text import LONGEST, harmless, last_lines, shown


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("snn bntt", "snn bntt"),
        ("Ünïcode 数 🧠", "Ünïcode 数 🧠"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x1b]8;;http://evil\x07link\x1b]8;;\x07", "link"),
        ("a\nb\tc\x00", "a\\u000ab\\u0009c\\u0000"),
        ("safe\u202egnp.exe", "safe\\u202egnp.exe"),
        ("\u2066isolate\u2069", "\\u2066isolate\\u2069"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("<script>", "<script>"),  # the page escapes it
    ],
)
def test_what_is_seen_of_a_text(text: str, seen: str) -> None:
    assert shown(text) == seen


def test_a_long_text_is_cut() -> None:
    assert shown("x" * 10_000) == "x" * LONGEST + "…"
    assert shown("x" * LONGEST) == "x" * LONGEST
    assert len(shown("\x1b[31m" * 10_000)) <= LONGEST + 1


def test_the_last_lines_of_a_log() -> None:
    log = "\n".join(f"\x1b[1mline {i}\x1b[0m\u202e" for i in range(100))
    assert last_lines(log, lines=2) == "line 98\\u202e\nline 99\\u202e"
    assert len(last_lines("y" * 100_000)) == 2000


def test_no_piece_of_a_page_turns_the_direction_of_writing() -> None:
    assert harmless("<b>a\u202eb\u2067c\x1b</b>\n שלום") == "<b>a\\u202eb\\u2067c\\u001b</b>\n שלום"
