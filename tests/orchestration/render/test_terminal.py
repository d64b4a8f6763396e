"""A table takes the room that a terminal has."""

from __future__ import annotations

from orchestration.render.table import Table, TableCell
from orchestration.render.terminal import plain


def table(columns: int) -> Table:
    headings = ["architecture", "learning_rate", *["no norm at all"] * columns]
    cells = [TableCell("snn"), TableCell("0.001"), *[TableCell("97.25")] * columns]
    return Table(headings, [cells], [False, True, *[True] * columns])


def test_headings_break_no_further_than_they_must() -> None:
    assert plain(table(2), 120).splitlines()[0].startswith("architecture  learning_rate  no norm")
    assert plain(table(2), 80).splitlines()[0].split() == ["archi-", "learning_"]
    lines = plain(table(8), 80).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["no"] * 8


def test_a_table_too_wide_for_a_terminal_becomes_blocks_and_a_file_gets_it_whole() -> None:
    lines = plain(table(20), 80).splitlines()
    assert lines[:2] == ["snn", "  learning_rate   0.001"]
    assert max(map(len, lines)) <= 80
    lines = plain(table(20)).splitlines()
    assert max(map(len, lines)) > 80
    assert len(lines[-1].split()) == 22
