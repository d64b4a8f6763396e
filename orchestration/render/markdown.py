"""Writes a table in Markdown. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from orchestration.render.table import Table, TableCell


def markdown(table: Table) -> str:
    """Write a table for GitHub and its like; below it, its notes."""

    def line(texts: Sequence[str]) -> str:
        return "| " + " | ".join(texts) + " |"

    def cell(one: TableCell) -> str:
        text = (one.text + one.after).replace("\\", "\\\\").replace("|", "\\|")
        text = f"**{text}**" if one.strong else text
        return f"{text}<sup>{one.mark}</sup>" if one.mark else text

    rows = [[cell(one) for one in row] for row in table.rows]
    rule = ["---:" if numeric else "---" for numeric in table.numeric]
    notes = [f"\n<sup>{mark}</sup> {note}" for mark, note in table.lettered_notes]
    if table.remark:
        notes.append(f"\n{table.remark}")
    return "\n".join([*(line(texts) for texts in (table.headings, rule, *rows)), *notes])
