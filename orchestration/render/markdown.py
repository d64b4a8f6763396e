"""Writes a table in Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestration.render.table import Table, TableCell

# What begins a link or ends a cell; and "<" where it begins a tag. Emphasis does no harm.
_SPECIAL = re.compile(r"[\\|\[\]]|<(?=[A-Za-z/!?])")


def markdown(table: Table) -> str:
    """Write a table for GitHub and its like; below it, its notes.

    No name in it can become a link or a tag.
    """

    def line(texts: Iterable[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def cell(one: TableCell) -> str:
        text = _escaped(one.text + one.after)
        text = f"**{text}**" if one.strong else text
        return f"{text}<sup>{one.mark}</sup>" if one.mark else text

    rows = [[cell(one) for one in row] for row in table.rows]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    notes = [f"\n<sup>{mark}</sup> {_escaped(note)}" for mark, note in table.lettered_notes]
    if table.remark:
        notes.append(f"\n{_escaped(table.remark)}")
    return "\n".join(
        [*(line(texts) for texts in (map(_escaped, table.headings), rule, *rows)), *notes]
    )


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
