"""Writes a table in Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from orchestration.render.table import Table, TableCell

# Characters that begin a link or end a cell, and "<" at the beginning of a tag.
_SPECIAL = re.compile(r"[\\|\[\]]|<(?=[A-Za-z/!?])")


def markdown(table: Table) -> str:
    """Write a table for GitHub and its like; below it, its notes.

    No name in it can become a link or a tag.
    """

    def line(texts: Iterable[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def written(cell: TableCell) -> str:
        text = _escaped(cell.text + cell.after)
        text = f"**{text}**" if cell.strong else text
        return f"{text}<sup>{cell.mark}</sup>" if cell.mark else text

    rows = [[written(cell) for cell in row] for row in table.rows]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    notes = [f"\n<sup>{mark}</sup> {_escaped(note)}" for mark, note in table.lettered_notes]
    if table.remark:
        notes.append(f"\n{_escaped(table.remark)}")
    return "\n".join(
        [*(line(texts) for texts in (map(_escaped, table.headings), rule, *rows)), *notes]
    )


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)
